package protocol

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxReply is the maximum text of a multi-line reply in bytes that ReadReply accepts.
const maxReply = 256 << 10

// ErrReply means that a line is no reply, or that a reply is too long.
var ErrReply = errors.New("protocol: malformed reply")

// Reply answers one command.
type Reply struct {
	Code Code
	// Text is the result or the reason. "\n" separates lines.
	Text string
	// Body is the result of a 251.
	Body []byte
}

// Append appends the reply's lines with their CRLFs, without the body of a 251. The text of a 251 is
// the length of its body. Append fails with ErrSyntax or ErrLineTooLong if a line would be invalid.
func (r *Reply) Append(dst []byte) ([]byte, error) {
	if r.Code == CodeBody {
		dst = append(dst, "251 "...)
		return append(strconv.AppendInt(dst, int64(len(r.Body)), 10), '\r', '\n'), nil
	}
	start, text, more := len(dst), r.Text, true
	for more {
		line, first := len(dst), ""
		first, text, more = strings.Cut(text, "\n")
		dst = strconv.AppendInt(dst, int64(r.Code), 10)
		if more {
			dst = append(dst, '-')
		} else {
			dst = append(dst, ' ')
		}
		var err error
		if dst, err = endLine(append(dst, first...), line); err != nil {
			return dst[:start], err
		}
	}
	return dst, nil
}

// Err returns a *ReplyError for a 4yz or 5yz and nil for any other reply.
func (r *Reply) Err() error {
	if !r.Code.Failure() {
		return nil
	}
	keyword, text, _ := strings.Cut(r.Text, " ")
	return &ReplyError{Code: r.Code, Keyword: Keyword(keyword), Text: text}
}

// ReplyError is a 4yz or 5yz reply.
type ReplyError struct {
	Code    Code
	Keyword Keyword
	// Text is a sentence for people.
	Text string
}

// Error returns the reply as one line.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("%d %s %s", e.Code, e.Keyword, e.Text)
}

// Reply returns the reply that has this code, keyword and text.
func (e *ReplyError) Reply() Reply {
	return Reply{Code: e.Code, Text: string(e.Keyword) + " " + e.Text}
}

// ReadReply reads all lines of one reply or notice. For a 251 it returns the length of the body, which
// the caller compares with its limit and then reads with io.ReadFull. Errors are ErrReply, ErrSyntax,
// ErrLineTooLong and those of the source.
func ReadReply(r *Reader) (reply Reply, body int64, err error) {
	var text strings.Builder
	for first := true; ; first = false {
		line, err := r.ReadLine()
		if err != nil {
			return Reply{}, 0, err
		}
		code, more, err := parseReplyLine(line)
		if err != nil {
			return Reply{}, 0, err
		}
		if first && code == CodeBody {
			body, err := ParseCount(line[4:])
			if more || err != nil {
				return Reply{}, 0, ErrReply
			}
			return Reply{Code: code}, body, nil
		}
		if first && !more {
			return Reply{Code: code, Text: string(line[4:])}, 0, nil
		}
		if !first {
			text.WriteByte('\n')
		}
		text.Write(line[4:])
		if text.Len() > maxReply || !first && code != reply.Code {
			return Reply{}, 0, ErrReply
		}
		reply.Code = code
		if !more {
			reply.Text = text.String()
			return reply, 0, nil
		}
	}
}

// parseReplyLine parses "code SP text" or "code-text".
func parseReplyLine(line []byte) (code Code, more bool, err error) {
	if len(line) < 4 || line[3] != ' ' && line[3] != '-' {
		return 0, false, ErrReply
	}
	for _, c := range line[:3] {
		if c < '0' || c > '9' {
			return 0, false, ErrReply
		}
		code = 10*code + Code(c-'0')
	}
	if code < 100 || code > 599 {
		return 0, false, ErrReply
	}
	return code, line[3] == '-', nil
}
