package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Error is a reason that this package gives, for [errors.Is].
type Error string

func (e Error) Error() string { return string(e) }

// What Flush (ErrDropped), Open (ErrNoChain), Lines (ErrTorn, ErrTooLong, ErrNotLog) and Verify find wrong.
const (
	ErrDropped  Error = "records were lost"
	ErrNoChain  Error = "no chain value at the end"
	ErrTorn     Error = "torn: the file ends within this line"
	ErrTooLong  Error = "longer than 16 MiB"
	ErrNotLog   Error = "this is not an interaction log: no line at its start is a record"
	ErrNotJSON  Error = "not a JSON object"
	ErrMismatch Error = "chain mismatch: this line was changed, or lines before it were removed, added or moved"
	ErrGap      Error = "chain mismatch: this file does not continue the one before it: a file between them is missing, they are out of order, or this line was changed"
	ErrNoHead   Error = "head not found: the tail was cut or rewritten"
)

// Report says what Verify has read; with an error, up to the line before.
type Report struct {
	Lines int
	Head  string // the chain value of the last line
	From  string // the head that the first file continues; empty if it begins the chain
}

// Verify recomputes the chain of a log of one file; see [VerifyFiles].
func Verify(r io.Reader, name, wantHead string) (Report, error) {
	return VerifyFiles(wantHead, File{name, r})
}

// VerifyFiles recomputes the chain of a log. The files are those of a rotated log, the oldest first, and each
// must continue the one before (ErrGap). It does not find that files are missing before the first, but returns
// in Report.From the head that the first continues.
//
// The error is FILE:LINE: reason for the first fault, and wraps one of those above.
//
// A wantHead, if not empty, must be the head at the end or, if the log has grown since it was noted, that of a
// line within: up to there the log is proven, behind it only as far as the chain goes. Otherwise the fault is
// ErrNoHead at the last line. Memory is bounded by MaxLine.
func VerifyFiles(wantHead string, files ...File) (Report, error) {
	c := chain{head: genesis()}
	rep := Report{Head: string(c.head[:])}
	found := wantHead == "" || wantHead == rep.Head
	last := ""
	for _, f := range files {
		n := 0
		for line, err := range Lines(f) {
			if n++; err == nil {
				err = rep.check(&c, line, n == 1)
			}
			if err != nil {
				return rep, fmt.Errorf("%s:%d: %w", f.Name, n, err)
			}
			rep.Lines, rep.Head = rep.Lines+1, string(c.head[:])
			found = found || wantHead == rep.Head
		}
		last = fmt.Sprintf("%s:%d", f.Name, max(n, 1))
	}
	if !found {
		return rep, fmt.Errorf("%s: %w", last, ErrNoHead)
	}
	return rep, nil
}

// check takes the line that follows, which may be the first of its file.
func (rep *Report) check(c *chain, line []byte, first bool) error {
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
		if first && rep.Lines > 0 {
			return ErrGap
		}
		return ErrMismatch
	}
	return nil
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
