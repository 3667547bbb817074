package show

import (
	"strconv"
	"strings"
	"unicode"
)

// Visible reports whether a person sees r as it is: r is a tab, or has a shape or a width. A terminal obeys
// control characters, and a bidirectional control changes the order of the text around it.
func Visible(r rune) bool {
	return (unicode.IsGraphic(r) || r == '\t') && r != '\u2800' && !unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Printable returns s with each character that is not [Visible] escaped as Go escapes it. Use it for texts of
// peers that are shown to people.
func Printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if Visible(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return out.String()
}
