package audit

import (
	"encoding/json"
	"fmt"
	"io"
)

// Error is a fault that this package finds. Compare with [errors.Is].
type Error string

func (e Error) Error() string { return string(e) }

// Flush returns ErrDropped, or why a changed file can't be begun anew: ErrCut, ErrLost, or an error of Open. Open
// returns
// ErrNoChain or ErrNotFile, Reopen ErrMismatch as well, and Lines ErrTorn, ErrTooLong or ErrNotLog. Verify
// returns ErrNoChain and those from ErrTorn on.
const (
	ErrDropped  Error = "audit: records were lost"
	ErrCut      Error = "audit: the file was cut, and can't be renamed: move the file away"
	ErrLost     Error = "audit: the file is truncated, moved or removed again and again"
	ErrNotFile  Error = "audit: the log must be a regular file: move away what has its name"
	ErrNoChain  Error = "audit: no chain value at the end"
	ErrTorn     Error = "audit: torn: the file ends within this line"
	ErrTooLong  Error = "audit: longer than 16 MiB"
	ErrNotLog   Error = "audit: this is not an interaction log: no line at its start is a record"
	ErrNotJSON  Error = "audit: not a JSON object"
	ErrMismatch Error = "audit: chain mismatch: this line was changed, or lines before it were removed, added or moved"
	ErrGap      Error = "audit: chain mismatch: this file does not continue the one before it: a file between them is missing, they are out of order, or this line was changed"
	ErrNoHead   Error = "audit: head not found: the tail was cut or rewritten"
)

// Report describes the lines that Verify has found sound. Beside an error these are the lines before the
// fault.
type Report struct {
	// Lines is their number.
	Lines int
	// Head is the chain value of the last of them.
	Head string
	// From is the head that the first file continues. Empty means that it begins the chain.
	From string
	// Lost is the loss that the first file reports. Zero means that the file before it was not lost but
	// rotated.
	Lost Loss
}

// Loss says why a file was begun anew. It has the fields of log.rotate.
type Loss struct {
	// Why is "truncated" or "vanished".
	Why string
	// Size is what had been written to the file, in bytes.
	Size int64
}

// String returns what happened, with "that file" before it.
func (l Loss) String() string {
	did := "was truncated"
	if l.Why == vanished {
		did = "has vanished"
	}
	return fmt.Sprintf("%s, after %d bytes had been written to it", did, l.Size)
}

// lossOf returns the loss that a line reports. It is zero if the line is no log.rotate.
func lossOf(line []byte) (loss Loss) {
	var record struct {
		Event string
		Loss
	}
	if json.Unmarshal(line, &record) == nil && record.Event == "log.rotate" && (record.Why == truncated || record.Why == vanished) {
		return record.Loss
	}
	return Loss{}
}

// Verify is [VerifyFiles] for a log of one file.
func Verify(r io.Reader, name, wantHead string) (Report, error) {
	return VerifyFiles(wantHead, File{name, r})
}

// VerifyFiles recomputes the chain of a log. The files are those of a rotated log, the oldest first. Each
// must continue the one before (ErrGap). VerifyFiles can't find that files before the first are missing, but
// returns in Report.From the head that the first one continues.
//
// The error for the first fault is "FILE:LINE: reason", and wraps an [Error].
//
// wantHead is a head that was noted earlier. It must be the chain value of the last line, or of an earlier
// line if the log has grown since: this proves the log up to that line. Otherwise the error is ErrNoHead at
// the last line. Empty means that no head is checked. MaxLine bounds the memory.
func VerifyFiles(wantHead string, files ...File) (Report, error) {
	rep, lines, last, err := locate([]string{wantHead}, files)
	if err == nil && wantHead != "" && lines[0] < 0 {
		err = fmt.Errorf("%s: %w", last, ErrNoHead)
	}
	return rep, err
}

// VerifyHeads is VerifyFiles for many heads. It returns the number of the line, counted through all files, whose chain
// value each head is. Zero is the head of an empty log. -1 means that no line has it, which is not an error here. The
// head that the first file continues is not that of a line, because nothing proves it.
func VerifyHeads(heads []string, files ...File) (rep Report, lines []int, err error) {
	rep, lines, _, err = locate(heads, files)
	return rep, lines, err
}

// locate is VerifyHeads. It also returns FILE:LINE of the last line.
func locate(heads []string, files []File) (rep Report, lines []int, last string, err error) {
	c := chain{head: genesis()}
	at := map[string]int{}
	for _, head := range heads {
		at[head] = -1
	}
	found := func() {
		rep.Head = string(c.head[:])
		if _, wanted := at[rep.Head]; wanted {
			at[rep.Head] = rep.Lines
		}
	}
	found()
	for _, f := range files {
		n := 0
		for line, err := range Lines(f) {
			if n++; err == nil {
				err = rep.check(&c, line, n == 1)
			}
			if err != nil {
				return rep, nil, "", fmt.Errorf("%s:%d: %w", f.Name, n, err)
			}
			rep.Lines++
			found()
		}
		last = fmt.Sprintf("%s:%d", f.Name, max(n, 1))
	}
	for _, head := range heads {
		lines = append(lines, at[head])
	}
	return rep, lines, last, nil
}

// check checks the next line, which may be the first of its file.
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
	c.add(body)
	loss := Loss{}
	if first {
		loss = lossOf(line)
	}
	switch joint := first && rep.Lines > 0; {
	case c.head == value:
		if rep.Lines == 0 {
			rep.Lost = loss
		}
		return nil
	case joint && loss != Loss{}:
		return fmt.Errorf("%w (that file %v)", ErrGap, loss)
	case joint:
		return ErrGap
	}
	return ErrMismatch
}
