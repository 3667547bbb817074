package report

import "strings"

// cells is how many characters of a monospace font the text is as wide as, or
// less: nothing is wider than two.
func cells(s string) (n int) {
	for _, r := range s {
		n += wide(r)
	}
	return n
}

func wide(r rune) int {
	if r >= 0x1100 {
		return 2
	}
	return 1
}

// brief is a name in no more than so many cells.
func brief(name string, most int) string {
	if name == "" {
		name = "nobody"
	}
	return wrap(visible(name, maxText), most, 1)[0]
}

// wrap breaks a text into lines of no more than so many cells, between words
// where it can; what doesn't fit into the lines is cut.
func wrap(s string, width, lines int) (out []string) {
	for {
		end := fit(s, width)
		if end == len(s) {
			return append(out, s)
		}
		if len(out)+1 == lines {
			return append(out, s[:fit(s, width-wide('…'))]+"…")
		}
		if space := strings.LastIndexByte(s[:end+1], ' '); space > end/2 {
			end = space
		}
		out = append(out, s[:end])
		s = strings.TrimPrefix(s[end:], " ")
	}
}

// fit is how much of s is no wider than so many cells, in octets.
func fit(s string, width int) int {
	for i, r := range s {
		if width -= wide(r); width < 0 {
			return i
		}
	}
	return len(s)
}
