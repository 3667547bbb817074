package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"
)

// MaxLine is the greatest length of a line in octets, its CRLF included.
const MaxLine = 8192

// Errors of a line. The connection can't go on after either of them.
var (
	// ErrSyntax: a bare CR or LF, another control character but HTAB, or invalid UTF-8.
	ErrSyntax = errors.New("protocol: a control character, a bare CR or LF, or invalid UTF-8 in a line")
	// ErrLineTooLong: more than MaxLine octets without a CRLF.
	ErrLineTooLong = errors.New("protocol: a line of more than 8192 octets")
)

// minBuffer is what a connection that has not logged in yet costs; the buffer grows only for one
// that sends more at once.
const minBuffer = 512

// Reader takes lines and counted octets from a source. It keeps everything it has when a Read of
// the source fails, so a read that a deadline interrupted can be taken up again. It is not safe for
// concurrent use.
type Reader struct {
	src     io.Reader
	buf     []byte
	r, w    int  // buf[r:w] is unread
	scanned int  // buf[r:scanned] holds no line end
	limit   int  // of the buffer
	filled  bool // by the last read
}

// NewReader returns a Reader on src. Its buffer starts small and grows to MaxLine octets when more
// comes at once than it holds.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, limit: MaxLine} }

// Buffered returns the number of octets that were read and not yet taken.
func (r *Reader) Buffered() int { return r.w - r.r }

// Grow lets the buffer grow to size octets, if that is more than MaxLine: worth it for a client that
// has proved itself. A line is bounded by MaxLine all the same.
func (r *Reader) Grow(size int) { r.limit = max(size, MaxLine) }

// Next takes the next line, without its CRLF, from what is buffered. It returns nil, nil where the
// line is not complete yet: call Fill. The line is valid until the next call of any method. An
// error is final.
func (r *Reader) Next() ([]byte, error) {
	for i := r.scanned; i < r.w; i++ {
		if i += plain(r.buf[i:r.w]); i == r.w {
			break
		}
		c := r.buf[i]
		if c >= utf8.RuneSelf {
			continue
		}
		if c == '\r' && i+1 == r.w {
			r.scanned = i
			return nil, r.checkLength()
		}
		if c != '\r' || r.buf[i+1] != '\n' {
			return nil, ErrSyntax
		}
		return r.take(i)
	}
	r.scanned = r.w
	return nil, r.checkLength()
}

// take ends the line at index end, where its CRLF begins.
func (r *Reader) take(end int) ([]byte, error) {
	line := r.buf[r.r:end]
	if len(line)+2 > MaxLine {
		return nil, ErrLineTooLong
	}
	if !validText(line) {
		return nil, ErrSyntax
	}
	r.r, r.scanned = end+2, end+2
	return line, nil
}

func (r *Reader) checkLength() error {
	if r.Buffered() >= MaxLine {
		return ErrLineTooLong
	}
	return nil
}

// Fill reads once from the source, as much as fits. It does nothing where the buffer is full, which
// Full tells.
func (r *Reader) Fill() error {
	r.makeRoom()
	if r.Full() {
		return nil
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	r.filled = r.w == len(r.buf)
	if n > 0 {
		return nil // an error that came with data comes again
	}
	return err
}

// Filled reports whether the last Fill took as much as there was room for, and might have taken more
// with a greater buffer, which the next one has.
func (r *Reader) Filled() bool { return r.filled && len(r.buf) < r.limit }

// Full reports whether the buffer has reached its bound and nothing can be read ahead any more.
func (r *Reader) Full() bool { return r.r == 0 && r.w == r.limit }

// makeRoom moves what is unread to the front, and doubles a buffer that was too short for what came.
func (r *Reader) makeRoom() {
	if r.r > 0 {
		copy(r.buf, r.buf[r.r:r.w])
		r.w, r.scanned, r.r = r.w-r.r, r.scanned-r.r, 0
	}
	if size := min(max(2*len(r.buf), minBuffer), r.limit); r.buf == nil || r.filled && size > len(r.buf) {
		buf := make([]byte, size)
		copy(buf, r.buf[:r.w])
		r.buf = buf
	}
}

// ReadLine reads the next line from the buffer and the source.
func (r *Reader) ReadLine() ([]byte, error) {
	for {
		line, err := r.Next()
		if line != nil || err != nil {
			return line, err
		}
		if err := r.Fill(); err != nil {
			return nil, err
		}
	}
}

// Read takes octets as they are: those in the buffer first, then, without copying them twice, those
// of the source. It is how bodies and raw streams are read.
func (r *Reader) Read(p []byte) (int, error) {
	if r.Buffered() == 0 {
		return r.src.Read(p)
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	r.scanned = r.r
	return n, nil
}

// validText reports whether s may stand in a line: valid UTF-8 and no C0 or C1 control character
// but HTAB.
func validText(s []byte) bool {
	i := plain(s)
	return i == len(s) || s[i] >= utf8.RuneSelf && validTail(s[i:])
}

// plain returns how many octets s begins with that are ASCII and no control character but HTAB. It
// looks at eight at once: subtracting 0x20 sets the highest bit of one below that, and borrows from
// the next only then.
func plain(s []byte) (i int) {
	const spaces, highest = 0x2020202020202020, 0x8080808080808080
	for ; i+8 <= len(s); i += 8 {
		if x := binary.NativeEndian.Uint64(s[i:]); (x|(x-spaces))&highest != 0 {
			break
		}
	}
	for i < len(s) && (s[i] >= ' ' && s[i] < utf8.RuneSelf || s[i] == '\t') {
		i++
	}
	return i
}

// validTail is the part of validText for what follows the first octet outside ASCII: the C1
// controls are C2 80 to C2 9F in UTF-8.
func validTail(s []byte) bool {
	return utf8.Valid(s) && bytes.IndexFunc(s, isControl) < 0
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x80 && r <= 0x9f
}
