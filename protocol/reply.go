package protocol

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// maxReply bounds a multi-line reply in octets of text on the reading side.
const maxReply = 256 << 10

// ErrReply: a line that is no reply, or a reply that grows beyond every bound.
var ErrReply = errors.New("protocol: malformed reply")

// Reply answers one command.
type Reply struct {
	Code Code
	// Text is the result or the reason. Several lines are separated by "\n".
	Text string
	// Body is the result of a 251.
	Body []byte
}

// Append appends the reply's lines as they go over the wire, without the body of a 251, whose text
// is its length. It fails with ErrSyntax or ErrLineTooLong where the text can't stand in a line.
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

// Err returns the *ReplyError that the reply stands for, and nil for a reply of success.
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
	Text    string // a sentence for people
}

// Error gives the reply as it went over the wire.
func (e *ReplyError) Error() string {
	return fmt.Sprintf("%d %s %s", e.Code, e.Keyword, e.Text)
}

// Reply returns the reply that carries the error.
func (e *ReplyError) Reply() Reply {
	return Reply{Code: e.Code, Text: string(e.Keyword) + " " + e.Text}
}

// ReadReply reads one whole reply or notice, all its lines. Of a 251 it reads the line alone and
// returns how many octets follow it, which the caller takes with io.ReadFull after comparing them
// with its limit. Errors are ErrReply, ErrSyntax, ErrLineTooLong and those of the source.
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
			body, err := parseCount(line[4:])
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

// parseReplyLine takes "code SP text" or "code-text" apart.
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
