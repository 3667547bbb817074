package capability

import "strings"

// The last words. A client may send one of them, in base64, in place of the empty line that ends its login.
const (
	NoWait = "nowait" // the seat at once, or "421 busy", and no place in the queue
	Stat   = "stat"   // the lines of STAT, and no seat
	Watch  = "watch"  // the backend's output, and no seat
)

// capabilityLast is the first word of the line of EHLO that has the LastWords.
const capabilityLast = "LAST "

// LastWords are the last words that a server understands.
type LastWords []string

// String returns the line for EHLO.
func (l LastWords) String() string { return capabilityLast + strings.Join(l, " ") }

// Last returns the words of a server. watch means that it allows watchers.
func Last(watch bool) LastWords {
	if watch {
		return LastWords{NoWait, Stat, Watch}
	}
	return LastWords{NoWait, Stat}
}

// ParseLastWords finds the LastWords in the text of a reply to EHLO.
func ParseLastWords(ehlo string) (words LastWords) {
	for line := range strings.SplitSeq(ehlo, "\n") {
		if line, found := strings.CutPrefix(line, capabilityLast); found {
			words = append(words, strings.Fields(line)...)
		}
	}
	return words
}

// IsWord reports whether a text has the form of a last word: one or more letters, digits and hyphens. A SCRAM message
// does not have it.
func IsWord(text string) bool {
	return text != "" && strings.Trim(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == ""
}
