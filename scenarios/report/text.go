package report

import "strings"

// cells returns the greatest width of a text in characters of a monospace font. No character is wider than two.
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

// brief returns a name cut to a width in cells.
func brief(name string, most int) string {
	if name == "" {
		name = "nobody"
	}
	return wrap(visible(name, maxText), most, 1)[0]
}

// wrap breaks a text into lines of at most width cells, between words where it can, and cuts what doesn't fit
// into the lines.
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

// fit returns the length of the longest beginning of s that is no wider than width cells, in bytes.
func fit(s string, width int) int {
	for i, r := range s {
		if width -= wide(r); width < 0 {
			return i
		}
	}
	return len(s)
}
