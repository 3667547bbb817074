package mallory

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// stages are the messages, in their order. Who finds a fault in one of them has
// failed at its stage.
var stages = [...]string{"client-first", "server-first", "client-final", "server-final"}

// forms are what the messages look like where nothing is special about them.
var forms = [...]string{"{gs2}n={name},r={cnonce}", "r={cnonce}{snonce},s={salt},i={i}", "", ""}

// Replay acts the script out. Mallory plays the ends that are nil. bindings are
// those of the connection that she has with the others. The error says that an
// honest end didn't say what the transcript has it say.
func (s *Script) Replay(ctx context.Context, client, server End, bindings map[string][]byte) (Outcome, error) {
	c := &conversation{script: s, bindings: bindings, ends: [2]End{client, server}, symbols: fixtures.Symbols{
		"exporter": string(bindings[scram.TypeExporter]), "end-point": string(bindings[scram.TypeServerEndPoint]),
		"mock": encode(mac([]byte(mockSecret), s.Setting.Name)[:len(s.Setting.Salt)]),
	}}
	if client == nil {
		maps.Copy(c.symbols, s.Setting.played())
	}
	if server == nil {
		c.symbols["snonce"], c.symbols["salt"] = "MallorysServerNonce1", encode([]byte(s.Setting.Salt))
		c.symbols["i"] = strconv.Itoa(s.Setting.Iterations)
	}
	return c.run(ctx)
}

// conversation is one replay. An end is 0, the client, or 1, the server.
type conversation struct {
	script   *Script
	bindings map[string][]byte
	ends     [2]End
	symbols  fixtures.Symbols
	views    [2][]string // the messages, as each end has said or heard them
}

func (c *conversation) run(ctx context.Context) (Outcome, error) {
	var heard []byte
	for step := 0; ; step++ {
		var said []byte
		if end := c.ends[step%2]; end != nil {
			var err error
			if said, err = end.Next(ctx, heard); err != nil {
				return Outcome{[...]string{"client", "server"}[step%2], stages[max(step-1, 0)], reason(err)}, nil
			}
		}
		switch step {
		case len(stages):
			return Outcome{Stage: fixtures.Done}, nil
		case len(c.script.turns):
			return Outcome{}, nil
		}
		message, err := c.turn(step, string(said))
		if err != nil {
			return Outcome{}, fmt.Errorf("%s: %w", stages[step], err)
		}
		heard = []byte(message)
	}
}

// turn takes what an honest end has said, if there is one, and gives what the
// other one hears.
func (c *conversation) turn(step int, said string) (heard string, err error) {
	speaker, listener, turn := step%2, 1-step%2, c.script.turns[step]
	honest := c.ends[speaker] != nil
	switch {
	case turn.honest != nil && honest:
		err = c.match(speaker, *turn.honest, said)
	case turn.honest != nil:
		said, err = c.render(speaker, *turn.honest)
	case honest:
		_ = c.symbols.Match(forms[step], said) // the names may be known, and others
	}
	heard = said
	if turn.mallory != nil && err == nil {
		heard, err = c.render(listener, *turn.mallory)
		if (honest || turn.honest != nil) && err == nil && heard == said {
			err = fmt.Errorf("nothing is wrong with %.200q: the honest end says it, too", said)
		}
		if !honest && turn.honest == nil {
			said = heard
		}
	}
	c.views[speaker], c.views[listener] = append(c.views[speaker], said), append(c.views[listener], heard)
	return heard, err
}

// render makes a message that is right in the eyes of one end.
func (c *conversation) render(end int, line string) (string, error) {
	known, err := c.known(end, line)
	if err != nil {
		return "", err
	}
	return known.Render(line)
}

// match compares a message with what the end must say, and learns from it.
func (c *conversation) match(end int, line, said string) error {
	known, err := c.known(end, line)
	if err != nil {
		return err
	}
	if err := known.Match(line, said); err != nil {
		return err
	}
	c.symbols = known
	return nil
}

// known adds the symbols that follow from what one end has said and heard.
func (c *conversation) known(end int, line string) (fixtures.Symbols, error) {
	view, s := c.views[end], maps.Clone(c.symbols)
	if len(view) == 0 {
		return s, nil
	}
	s["gs2"], _ = cutFirst(view[0])
	s["data"] = string(c.bindingData(s["gs2"]))
	s["cbind"] = encode([]byte(s["gs2"] + s["data"]))
	var err error
	switch {
	case strings.Contains(line, "{proof") && len(view) > 1:
		var withoutProof string
		if withoutProof, err = unproved(s, line); err == nil {
			s["proof"], _, err = c.script.sign(view[0], view[1], withoutProof)
		}
	case strings.Contains(line, "{signature") && len(view) > 2:
		withoutProof := view[2][:max(0, strings.LastIndex(view[2], ",p="))]
		_, s["signature"], err = c.script.sign(view[0], view[1], withoutProof)
	}
	return s, err
}

// bindingData is what a gs2 header asks for; with a type that nobody has it is that
// of tls-exporter, so that the type alone is wrong.
func (c *conversation) bindingData(gs2 string) []byte {
	name, _, _ := strings.Cut(gs2, ",")
	name, bound := strings.CutPrefix(name, "p=")
	switch {
	case !bound:
		return nil
	case name == scram.TypeServerEndPoint:
		return c.bindings[name]
	}
	return c.bindings[scram.TypeExporter]
}
