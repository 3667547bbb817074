package report

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/server/audit/show"
)

// Limits of one text, in runes.
const (
	maxText  = 600  // a message, a command, a field of the log
	maxError = 4000 // the error of a scenario
)

// visible returns s in visible characters on one line. A control character becomes its picture (␊). Another
// character without a shape, or one that changes the shape of others, such as a bidirectional control, becomes
// its code point (⟨U+202E⟩), and a byte that is no UTF-8 becomes hex (⟨FF⟩). The text is cut to most runes.
func visible(s string, most int) string {
	var b strings.Builder
	marks := 0
	for i, n := 0, 0; i < len(s); n++ {
		if n == most {
			fmt.Fprintf(&b, "… (%s more bytes)", count(len(s)-i))
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
		case !strconv.IsPrint(r), !show.Visible(r), marks > maxMarks:
			fmt.Fprintf(&b, "⟨%U⟩", r)
		default:
			b.WriteRune(r)
		}
		i += size
	}
	return b.String()
}

// maxMarks bounds the combining marks on one letter: many of them cover the lines above.
const maxMarks = 2

// paragraph is visible for a text of several lines.
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

// count returns a number with its thousands separated.
func count(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// span returns a duration as people say it: 0.2 ms, 12 ms, 1.5 s, 3 min 20 s, 1 h 5 min.
func span(d time.Duration) string {
	switch minutes := d.Round(time.Second); {
	case d < 10*time.Millisecond:
		return short(d, time.Millisecond) + " ms"
	case d < time.Second-time.Millisecond/2:
		return strconv.FormatInt(d.Round(time.Millisecond).Milliseconds(), 10) + " ms"
	case minutes < time.Minute:
		return short(d, time.Second) + " s"
	case minutes < time.Hour:
		return two(minutes/time.Minute, "min", minutes%time.Minute/time.Second, "s")
	}
	minutes := d.Round(time.Minute)
	return two(minutes/time.Hour, "h", minutes%time.Hour/time.Minute, "min")
}

// short returns a duration in a unit, with one digit behind the point where that is not 0.
func short(d, unit time.Duration) string {
	return strings.TrimSuffix(strconv.FormatFloat(float64(d)/float64(unit), 'f', 1, 64), ".0")
}

// two returns a duration in two units. The smaller one is left out if it is 0.
func two(large time.Duration, largeUnit string, small time.Duration, smallUnit string) string {
	text := strconv.FormatInt(int64(large), 10) + " " + largeUnit
	if small > 0 {
		text += " " + strconv.FormatInt(int64(small), 10) + " " + smallUnit
	}
	return text
}

// A cut is the beginning and the end of a list that is too long.
type cut[T any] struct {
	Head, Tail []T
	// Left is the number of items that are left out between them. Empty means none.
	Left string
}

// ends keeps at most room items: three quarters from the beginning, and one quarter from the end, because the
// fault of a run is near the end.
func ends[T any](all []T, room int) cut[T] {
	if len(all) <= room {
		return cut[T]{Head: all}
	}
	tail := room / 4
	return cut[T]{all[:room-tail], all[len(all)-tail:], count(len(all) - room)}
}
