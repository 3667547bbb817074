package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
)

// Error is the type of this package's errors, for [errors.Is].
type Error string

func (e Error) Error() string { return string(e) }

// Errors of Flush (ErrDropped), Open (ErrNoChain), Lines (ErrTorn, ErrTooLong, ErrNotLog) and Verify.
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

// Report is the result of Verify. After an error it covers the lines before the fault.
type Report struct {
	Lines int
	// Head is the hash of the last line.
	Head string
	// From is the hash that the first file continues. It is empty if that file begins the chain.
	From string
}

// Verify recomputes the chain of a log that is one file. See [VerifyFiles].
func Verify(r io.Reader, name, wantHead string) (Report, error) {
	return VerifyFiles(wantHead, File{name, r})
}

// VerifyFiles recomputes the chain of a rotated log, the oldest file first. Each file must continue the one
// before (ErrGap). Files that are missing before the first are not found, but Report.From is the hash that the
// first one continues.
//
// A wantHead, if not empty, is a head that was noted elsewhere. It must be the hash of a line: the log is proven
// up to that line, and after it only as far as the chain goes. Otherwise the fault is ErrNoHead at the last line.
//
// The error is FILE:LINE: reason for the first fault, and wraps an Error. Memory is bounded by MaxLine.
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

// check verifies the next line. first says whether it is the first of its file.
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

// link is a hash as 64 lower-case hex digits.
type link [2 * sha256.Size]byte

// linkLen is the length of a field with a link, with its comma.
const linkLen = len(`,"chain":""`) + len(link{})

// genesis is the link before the first line of all.
func genesis() link { return link(bytes.Repeat([]byte("0"), len(link{}))) }

func appendLink(dst []byte, name string, value link) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(append(dst, value[:]...), '"')
}

// cutLink removes the field with a link, and end, from the line. No logged value can look like one, because
// quotes in values are escaped.
func cutLink(line []byte, name, end string) (rest []byte, value link, ok bool) {
	at := len(line) - len(value) - len(`"`+end)
	if at < 0 || string(line[at+len(value):]) != `"`+end {
		return nil, value, false
	}
	value = link(line[at:])
	rest, ok = bytes.CutSuffix(line[:at], []byte(`,"`+name+`":"`))
	return rest, value, ok && len(bytes.Trim(value[:], "0123456789abcdef")) == 0
}

// chain is the link of the last line, with a buffer to compute the next.
type chain struct {
	head link
	buf  []byte
}

// add computes the link of the next line. body is the line before its own link.
func (c *chain) add(body []byte) {
	c.buf = append(append(c.buf[:0], c.head[:]...), body...)
	sum := sha256.Sum256(c.buf)
	hex.Encode(c.head[:], sum[:])
}
