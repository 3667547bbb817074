package protocol

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode/utf8"
)

// MaxLine is the maximum length of a line in bytes, with its CRLF.
const MaxLine = 8192

// Errors of a line. The connection can't go on after either.
var (
	// ErrSyntax means a bare CR or LF, another control character except HTAB, or invalid UTF-8.
	ErrSyntax = errors.New("protocol: a control character, a bare CR or LF, or invalid UTF-8 in a line")
	// ErrLineTooLong means more than MaxLine bytes without a CRLF.
	ErrLineTooLong = errors.New("protocol: a line of more than 8192 bytes")
)

// minBuffer is the initial size of the buffer in bytes. It is small because a connection that has not
// logged in must be cheap.
const minBuffer = 512

// Reader reads lines and counted bytes from a source. It keeps its buffer when a Read of the source
// fails, so a caller can retry after a deadline. It is not safe for concurrent use.
type Reader struct {
	src     io.Reader
	buf     []byte
	r, w    int  // buf[r:w] is unread
	scanned int  // buf[r:scanned] holds no line end
	limit   int  // maximum size of buf
	filled  bool // the last read filled buf
}

// NewReader returns a Reader on src. Its buffer starts small and grows up to MaxLine bytes when the
// source has more than it holds.
func NewReader(src io.Reader) *Reader { return &Reader{src: src, limit: MaxLine} }

// Buffered returns the number of buffered bytes.
func (r *Reader) Buffered() int { return r.w - r.r }

// Grow lets the buffer grow to size bytes if that is more than MaxLine, for a client that has logged
// in. A line stays bounded by MaxLine.
func (r *Reader) Grow(size int) { r.limit = max(size, MaxLine) }

// Next returns the next line from the buffer, without its CRLF. It returns nil, nil if the buffer holds no
// complete line: call Fill. The line is valid until the next call of any method. An error is final.
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
		line := r.buf[r.r:i]
		switch {
		case len(line)+2 > MaxLine:
			return nil, ErrLineTooLong
		case !validText(line):
			return nil, ErrSyntax
		}
		r.r, r.scanned = i+2, i+2
		return line, nil
	}
	r.scanned = r.w
	return nil, r.checkLength()
}

func (r *Reader) checkLength() error {
	if r.Buffered() >= MaxLine {
		return ErrLineTooLong
	}
	return nil
}

// Unread makes the line that Next or ReadLine has returned the next one again. Call it before any other method.
func (r *Reader) Unread(line []byte) {
	r.r -= len(line) + 2
	r.scanned = r.r
}

// Fill reads once from the source, as much as fits. It does nothing if the buffer is [Reader.Full].
func (r *Reader) Fill() error {
	r.makeRoom()
	if r.Full() {
		return nil
	}
	n, err := r.src.Read(r.buf[r.w:])
	r.w += n
	r.filled = r.w == len(r.buf)
	if n > 0 {
		return nil // the source returns an error that came with data again
	}
	return err
}

// Full reports whether the buffer is full and can't grow.
func (r *Reader) Full() bool { return r.r == 0 && r.w == r.limit }

// makeRoom moves the unread bytes to the front, and doubles a buffer that the last read filled.
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

// Read reads bytes of a body or a raw stream: first those in the buffer, then directly from the
// source, to save a copy.
func (r *Reader) Read(p []byte) (int, error) {
	if r.Buffered() == 0 {
		return r.src.Read(p)
	}
	n := copy(p, r.buf[r.r:r.w])
	r.r += n
	r.scanned = r.r
	return n, nil
}

// validText reports whether a line can contain s: valid UTF-8 without C0 or C1 control characters except HTAB.
func validText(s []byte) bool {
	i := plain(s)
	return i == len(s) || s[i] >= utf8.RuneSelf && validTail(s[i:])
}

// plain returns the length of the prefix of s that is ASCII without control characters except HTAB. It
// checks eight bytes at once: subtracting 0x20 sets the highest bit of a byte below 0x20, and borrows
// from the next byte only then.
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

// validTail is validText for the rest of a line from its first byte outside ASCII. In UTF-8 the C1
// controls are C2 80 to C2 9F.
func validTail(s []byte) bool {
	return utf8.Valid(s) && bytes.IndexFunc(s, isControl) < 0
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x80 && r <= 0x9f
}
