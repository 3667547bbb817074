package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
)

// Error is a reason that this package gives, for [errors.Is].
type Error string

func (e Error) Error() string { return string(e) }

// What Flush (ErrDropped), Open (ErrNoChain) and Verify find wrong.
const (
	ErrDropped  Error = "records were lost"
	ErrNoChain  Error = "no chain value at the end"
	ErrTorn     Error = "torn: the file ends within this line"
	ErrTooLong  Error = "longer than 16 MiB"
	ErrNotJSON  Error = "not a JSON object"
	ErrMismatch Error = "chain mismatch: this line was changed, or lines before it were removed, added or moved"
	ErrNoHead   Error = "head not found: the tail was cut or rewritten"
)

// Report says what Verify has read; with an error, up to the line before.
type Report struct {
	Lines int
	Head  string // the chain value of the last line
	From  string // the head that the file continues; empty if it begins the chain
}

// Verify recomputes the chain of a log. The error is FILE:LINE: reason for the
// first fault, with name for FILE, and wraps one of those above.
//
// A wantHead, if not empty, must be the head at the end or, where the log has
// grown since it was noted, that of a line within: up to there the log
// is proven, behind it only as far as the chain goes. Otherwise the fault is
// ErrNoHead at the last line. Memory is bounded by MaxLine.
func Verify(r io.Reader, name, wantHead string) (Report, error) {
	c := chain{head: genesis()}
	rep := Report{Head: string(c.head[:])}
	found := wantHead == "" || wantHead == rep.Head
	for line, err := range Lines(r) {
		if err == nil {
			err = rep.check(&c, line)
		}
		if err != nil {
			return rep, fmt.Errorf("%s:%d: %w", name, rep.Lines+1, err)
		}
		rep.Lines, rep.Head = rep.Lines+1, string(c.head[:])
		found = found || wantHead == rep.Head
	}
	if !found {
		return rep, fmt.Errorf("%s:%d: %w", name, max(rep.Lines, 1), ErrNoHead)
	}
	return rep, nil
}

// check takes the line that follows.
func (rep *Report) check(c *chain, line []byte) error {
	body, value, ok := cutLink(line, "chain", "}\n")
	switch {
	case line[0] != '{' || !json.Valid(line):
		return ErrNotJSON
	case !ok:
		return ErrNoChain
	}
	if _, from, ok := cutLink(body, "head", ""); ok && rep.Lines == 0 {
		c.head, rep.From = from, string(from[:])
	}
	if c.add(body); c.head != value {
		return ErrMismatch
	}
	return nil
}

// Lines gives each line of a log with its newline, valid until the next. A line
// that has none (ErrTorn), is over MaxLine or can't be read is the last.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in, line := bufio.NewReaderSize(r, 64<<10), []byte(nil)
		for {
			part, err := in.ReadSlice('\n')
			line = append(line, part...)
			switch {
			case len(line) > MaxLine:
				err = ErrTooLong
			case err == bufio.ErrBufferFull:
				continue
			case err == io.EOF && len(line) == 0:
				return
			case err == io.EOF:
				err = ErrTorn
			}
			if !yield(line, err) || err != nil {
				return
			}
			line = line[:0]
		}
	}
}

// link is a chain value, 64 lower-case hex digits.
type link [2 * sha256.Size]byte

// linkLen is the length of a link's field, with its comma.
const linkLen = len(`,"chain":""`) + len(link{})

// genesis is what precedes the first line of all.
func genesis() link { return link(bytes.Repeat([]byte("0"), len(link{}))) }

func appendLink(dst []byte, name string, value link) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(append(dst, value[:]...), '"')
}

// cutLink cuts a link's field and end off the line. No logged value can look
// like one, because quotes in values are escaped.
func cutLink(line []byte, name, end string) (rest []byte, value link, ok bool) {
	at := len(line) - len(value) - len(`"`+end)
	if at < 0 || string(line[at+len(value):]) != `"`+end {
		return nil, value, false
	}
	value = link(line[at:])
	rest, ok = bytes.CutSuffix(line[:at], []byte(`,"`+name+`":"`))
	return rest, value, ok && len(bytes.Trim(value[:], "0123456789abcdef")) == 0
}

// chain is the link of the last line, and room to compute the next.
type chain struct {
	head link
	buf  []byte
}

// add goes on to the line whose octets before its own link are body.
func (c *chain) add(body []byte) {
	c.buf = append(append(c.buf[:0], c.head[:]...), body...)
	sum := sha256.Sum256(c.buf)
	hex.Encode(c.head[:], sum[:])
}
