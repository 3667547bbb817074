package scenarios

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What varies from one run to the next, and the pattern that stands for it. The
// first that matches wins.
var varying = []struct{ what, pattern string }{
	{`\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:?\d\d)?)?`, `[0-9][-0-9T:.Z+ ]*`}, // RFC 3339, and its parts
	{`\d\d?:\d\d(?::\d\d(?:\.\d+)?)?`, `[0-9][0-9:.]*`},
	{`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`, `[-0-9a-fA-F]+`}, // RFC 9562
	{`(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|h|m|s))+\b`, `[-+]?[0-9][0-9.nuµmsh]*`},  // a duration of Go's
	{`0[xX][0-9a-fA-F]+\b`, `0[xX][0-9a-fA-F]+`},
	{`[0-9a-fA-F]{16,}\b`, `[0-9a-fA-F]+`},
	{`[A-Za-z0-9+/_-]{20,}={0,2}`, `[-A-Za-z0-9+/_=]+`},         // base64, such as a nonce
	{`\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`, `[-+]?[0-9][-+.0-9eE]*`}, // a number, whose sign may change
}

var varies = compileVarying()

func compileVarying() *regexp.Regexp {
	all := make([]string, len(varying))
	for i, v := range varying {
		all[i] = "(" + v.what + ")"
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + ")")
}

// symbolic is a regexp that matches the text, and others that differ in what
// varies alone. What was asked comes back as it is.
func symbolic(text, asked string) string {
	var out strings.Builder
	rest := 0
	for _, at := range varies.FindAllStringSubmatchIndex(text, -1) {
		start := at[0]
		if start > rest && strings.IndexByte("-+", text[start-1]) >= 0 && !wordEnds(text, start-2) {
			start-- // a sign
		}
		out.WriteString(quoteMeta(text[rest:start]))
		rest = at[1]
		found := text[start:at[1]]
		if strings.Contains(asked, found) || !strings.ContainsAny(found, "0123456789") {
			out.WriteString(quoteMeta(found))
			continue
		}
		for i, v := range varying {
			if at[2*i+2] >= 0 {
				out.WriteString(v.pattern)
			}
		}
	}
	return out.String() + quoteMeta(text[rest:])
}

// quoteMeta is a regexp for the text, in which all can be seen.
func quoteMeta(text string) string {
	var out strings.Builder
	for _, r := range regexp.QuoteMeta(text) {
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case unicode.IsPrint(r):
			out.WriteRune(r)
		default:
			fmt.Fprintf(&out, `\x{%x}`, r)
		}
	}
	return out.String()
}

// quoteWord quotes text as one word of a script.
func quoteWord(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// isText reports whether a body is text that a person can read.
func isText(body []byte) bool {
	return utf8.Valid(body) && !strings.ContainsFunc(string(body), func(r rune) bool {
		return !unicode.IsPrint(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

// printableLine is text as one line of a comment.
func printableLine(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, strings.ToValidUTF8(text, "?"))
}
