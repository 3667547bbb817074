// Package help writes the reply to HELP.
package help

import (
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

// Summaries are verbs with their summaries, which may be empty.
type Summaries map[string]string

// BuiltIn returns the verbs of the protocol. OPEN and STREAM need a backend.
func BuiltIn(backend bool) Summaries {
	s := Summaries{
		protocol.VerbHelp:   "lists the verbs",
		protocol.VerbNoop:   "does nothing, and ends no idleness",
		protocol.VerbQuit:   "ends the session",
		protocol.VerbWhoami: "says who is logged in",
	}
	if backend {
		s[protocol.VerbOpen] = "joins the client to the backend, until the session ends"
		s[protocol.VerbStream] = "joins the client to the backend"
	}
	return s
}

// Text returns the text of HELP: a line for each verb, which begins with it.
func (s Summaries) Text() string {
	var lines []string
	for _, verb := range slices.Sorted(maps.Keys(s)) {
		lines = append(lines, strings.TrimSpace(verb+" "+s[verb]))
	}
	return strings.Join(lines, "\n")
}
