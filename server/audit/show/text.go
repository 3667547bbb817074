package show

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// appendTime appends a time to the millisecond, with its zone.
func appendTime(dst []byte, at time.Time, zone *time.Location) []byte {
	return at.In(zone).AppendFormat(dst, "2006-01-02 15:04:05.000Z07:00")
}

// Duration formats a number of seconds for people: 421 ns, 18.5 s, 2 min 5 s.
func Duration(s float64) string {
	switch a := math.Abs(s); {
	case a < 999.5e-9:
		return threeDigits(s*1e9) + " ns"
	case a < 999.5e-6:
		return threeDigits(s*1e6) + " µs"
	case a < 999.5e-3:
		return threeDigits(s*1e3) + " ms"
	case a < 59.95:
		return threeDigits(s) + " s"
	case a < 60*60-0.5:
		return twoUnits(s, 60, " min", " s")
	case a < 24*60*60-30:
		return twoUnits(s/60, 60, " h", " min")
	}
	return twoUnits(s/60/60, 24, " d", " h")
}

// threeDigits formats a number with at most three significant digits.
func threeDigits(x float64) string { return strconv.FormatFloat(x, 'g', 3, 64) }

// twoUnits formats n small units as large and small ones. A large one has size small ones.
func twoUnits(n, size float64, large, small string) string {
	n = math.Round(n)
	text := strconv.FormatFloat(math.Trunc(n/size), 'f', 0, 64) + large
	if rest := math.Abs(math.Mod(n, size)); rest != 0 {
		text += " " + strconv.FormatFloat(rest, 'f', 0, 64) + small
	}
	return text
}

// appendText appends s. It quotes s as Go does if a reader could take a part of s for another part of the
// line, or if a terminal would obey a part of s or not show it.
func appendText(dst, s []byte) []byte {
	for _, b := range s {
		if b <= ' ' || b >= 0x7f || b == '"' || b == '\\' || b == '=' {
			return append(dst, quote(string(s))...)
		}
	}
	if len(s) == 0 {
		return append(dst, `""`...)
	}
	return append(dst, s...)
}

// quote returns s as appendText appends it.
func quote(s string) string {
	quoted := strconv.Quote(s)
	if strings.ContainsFunc(quoted, func(r rune) bool { return !Visible(r) || unicode.Is(unicode.Variation_Selector, r) }) {
		quoted = strconv.QuoteToASCII(s)
	}
	if s != "" && quoted == `"`+s+`"` && !strings.ContainsAny(s, " =") {
		return s
	}
	return quoted
}
