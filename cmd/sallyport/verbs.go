package main

import (
	"context"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// verbs completes verbs in a console. It asks the server for them when Tab is typed for the first time.
type verbs struct {
	// wanted passes a channel for the answer to the goroutine of the session. It is nil where lines are no requests.
	wanted chan chan<- []string
	// list shows verbs above the prompt.
	list  func(format string, args ...any)
	known []string
}

// patience bounds how long Tab waits for the server, which may be busy with a request.
const patience = time.Second

// all returns the verbs, or nil if the server does not answer now.
func (v *verbs) all() []string {
	if v.known != nil || v.wanted == nil {
		return v.known
	}
	answer := make(chan []string, 1)
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case v.wanted <- answer:
	case <-late.C:
		return nil
	}
	select {
	case v.known = <-answer:
	case <-late.C:
	}
	return v.known
}

// complete completes the verb before pos in a line, up to the longest common prefix of all matching verbs. If that
// adds nothing, it shows them. It is the [term.Terminal.AutoCompleteCallback] for Tab.
func (v *verbs) complete(line string, pos int) (changed string, newPos int, ok bool) {
	begun := strings.ToUpper(line[:pos])
	var fit []string
	for _, verb := range v.all() {
		if strings.HasPrefix(verb, begun) {
			fit = append(fit, verb)
		}
	}
	if len(fit) == 0 {
		return line, pos, true
	}
	common := fit[0]
	for _, verb := range fit {
		for !strings.HasPrefix(verb, common) {
			common = common[:len(common)-1]
		}
	}
	rest := line[pos:]
	switch {
	case len(fit) == 1:
		common, rest = common+" ", strings.TrimPrefix(rest, " ")
	case common == begun:
		v.list("%s", strings.Join(fit, "  "))
	}
	return common + rest, len(common), true
}

// listVerbs asks the server for its verbs.
func listVerbs(ctx context.Context, c *session, answer chan<- []string) error {
	reply, err := c.Client.Do(ctx, protocol.Request{Verb: protocol.VerbHelp})
	var all []string
	for line := range strings.Lines(reply.Text) {
		if verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); protocol.ValidVerb(verb) {
			all = append(all, verb)
		}
	}
	answer <- all
	if refusal(err) {
		return nil
	}
	return err
}
