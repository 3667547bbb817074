package metrics

import (
	"bytes"
	"strconv"
)

// record is a record of the interaction log as its JSON line. Its methods find a field without decoding the rest:
// each request waits for them. No text in the line can be taken for a field, because its quotes are escaped.
type record []byte

// value returns what follows the key of a field, or nil without such a field.
func (r record) value(key string) []byte {
	for rest := []byte(r); ; {
		i := bytes.Index(rest, []byte(key))
		if i < 0 {
			return nil
		}
		before, after := rest[:i], rest[i+len(key):]
		if bytes.HasSuffix(before, []byte(`,"`)) && bytes.HasPrefix(after, []byte(`":`)) {
			return after[len(`":`):]
		}
		rest = after
	}
}

// text returns the string of a field, if it has no escapes.
func (r record) text(key string) []byte {
	v := r.value(key)
	if len(v) == 0 || v[0] != '"' {
		return nil
	}
	v = v[1:]
	return v[:max(0, bytes.IndexByte(v, '"'))]
}

// literal returns a number as it is written.
func (r record) literal(key string) []byte {
	v := r.value(key)
	return v[:max(0, bytes.IndexAny(v, ",}"))]
}

// number returns the number of a field, and zero without such a field.
func (r record) number(key string) float64 {
	n, _ := strconv.ParseFloat(string(r.literal(key)), 64)
	return n
}
