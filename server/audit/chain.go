package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// link is a value of the chain: a SHA-256 hash as 64 lower-case hex digits.
type link [2 * sha256.Size]byte

// linkLen is the length of a link's field, with its comma.
const linkLen = len(`,"chain":""`) + len(link{})

// genesis is the link before the first line of all: 64 zeros.
func genesis() link { return link(bytes.Repeat([]byte("0"), len(link{}))) }

// appendLink appends a link as the last field of a line.
func appendLink(dst []byte, name string, value link) []byte {
	dst = append(append(append(dst, `,"`...), name...), `":"`...)
	return append(append(dst, value[:]...), '"')
}

// cutLink cuts a link's field, and end behind it, off a line. No logged value can look like such a field,
// because quotes in values are escaped.
func cutLink(line []byte, name, end string) (rest []byte, value link, ok bool) {
	at := len(line) - len(value) - len(`"`+end)
	if at < 0 || string(line[at+len(value):]) != `"`+end {
		return nil, value, false
	}
	value = link(line[at:])
	rest, ok = bytes.CutSuffix(line[:at], []byte(`,"`+name+`":"`))
	return rest, value, ok && len(bytes.Trim(value[:], "0123456789abcdef")) == 0
}

// chain computes the links of a log.
type chain struct {
	// head is the link of the last line.
	head link
	buf  []byte
}

// add computes the link of the next line. body is the line up to the comma before its own link.
func (c *chain) add(body []byte) {
	c.buf = append(append(c.buf[:0], c.head[:]...), body...)
	sum := sha256.Sum256(c.buf)
	hex.Encode(c.head[:], sum[:])
}
