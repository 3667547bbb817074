package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Limits of what is shown of one text, in runes.
const (
	maxText  = 600  // of what is said, of a command, of a field of the log
	maxError = 4000 // of why a scenario failed
)

// visible returns s in characters that can be seen, all of them on one line: a
// control character as its picture (␊), what else has no shape of its own or
// changes that of others, such as the bidirectional controls, as its code point
// (⟨U+202E⟩), and an octet that is no UTF-8 in hex (⟨FF⟩). It is cut to max runes.
func visible(s string, most int) string {
	var b strings.Builder
	marks := 0
	for i, n := 0, 0; i < len(s); n++ {
		if n == most {
			fmt.Fprintf(&b, "… (%s more octets)", count(len(s)-i))
			break
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if unicode.In(r, unicode.Mn, unicode.Me) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, "⟨%02X⟩", s[i])
		case r < 0x20:
			b.WriteRune(0x2400 + r)
		case r == 0x7f:
			b.WriteRune(0x2421)
		case !strconv.IsPrint(r), marks > maxMarks:
			fmt.Fprintf(&b, "⟨%U⟩", r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// maxMarks is how many marks may stand on one letter: any number of them would
// grow over the lines above.
const maxMarks = 2

// paragraph is visible with its line ends kept.
func paragraph(s string, most int) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = visible(line, most)
		if most -= utf8.RuneCountInString(line) + 1; most <= 0 && i+1 < len(lines) {
			rest := len(lines) - i - 1
			return strings.Join(lines[:i+1], "\n") + fmt.Sprintf("\n… (%s more lines)", count(rest))
		}
	}
	return strings.Join(lines, "\n")
}

// count is a number with its thousands apart.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// span is a duration with its unit, in three digits or so.
func span(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return short(float64(d)/1e3) + " µs"
	case d < time.Second:
		return short(float64(d)/1e6) + " ms"
	case d < time.Hour:
		return short(d.Seconds()) + " s"
	}
	return d.Round(time.Second).String()
}

func short(f float64) string {
	switch {
	case f < 10:
		return strconv.FormatFloat(f, 'f', 2, 64)
	case f < 100:
		return strconv.FormatFloat(f, 'f', 1, 64)
	}
	return strconv.FormatFloat(f, 'f', 0, 64)
}

// A cut is what is shown of a list that is too long: both of its ends.
type cut[T any] struct {
	Head, Tail []T
	Left       string // how many are left out between the two; empty if none
}

// ends keeps the first three quarters of what there is room for, and the last
// quarter: what led to the end of a run is there.
func ends[T any](all []T, room int) cut[T] {
	if len(all) <= room {
		return cut[T]{Head: all}
	}
	tail := room / 4
	return cut[T]{all[:room-tail], all[len(all)-tail:], count(len(all) - room)}
}
