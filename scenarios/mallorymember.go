package scenarios

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/mallory"
)

func malloryMember() *member {
	verbs := []verb{
		{name: "unaltered", args: "[password=P]", most: 1, needs: "alice", run: doAlters, summary: "log in as alice, with nothing wrong; as after the commands below that log in, what the server says last is heard with hears"},
		{name: "flag", args: "n|y [password=P]", least: 1, most: 2, needs: "alice", run: doFlag, summary: "log in as alice without channel binding: n, because she doesn't want it; y, because the server is said not to offer it"},
	}
	for _, part := range mallory.Parts(mallory.Client) {
		verbs = append(verbs, verb{
			name: part, args: "CHANGE [password=P]", least: 1, most: 2, needs: "alice", run: doAlters,
			summary: "log in as alice with nothing wrong but the " + part + ", which is changed: " + mallory.Changes,
		})
	}
	verbs = append(verbs,
		verb{name: "serves", args: "CLIENT [PART CHANGE] [password=P]", least: 1, most: 4, run: doServes, summary: "from now on the client comes to her and takes her for the server; she knows its password, or P; she can change: " + strings.Join(mallory.Parts(mallory.Server), " ")},
		verb{name: "stands-between", args: "CLIENT [PART CHANGE] [password=P]", least: 1, most: 4, run: doStandsBetween, summary: "from now on the client comes to her, with a certificate that it trusts, and she passes all on between it and the server but for what she changes: " + strings.Join(mallory.Parts(mallory.Middle), " ")},
		verb{name: "steps-aside", args: "CLIENT", least: 1, most: 1, run: doStepsAside, summary: "from now on the client comes to the server again"},
	)
	verbs = append(verbs, rogueVerbs()...)
	lines := []string{"connect", "sends", "sends-octets", "sends-part", "drips", "floods", "floods-part", "hears", "hears-tls", "notices", "ends", "vanish", "hangs-up"}
	for _, v := range clientMember().verbs {
		if slices.Contains(lines, v.name) {
			verbs = append(verbs, v)
		}
	}
	return &member{summary: "a client, a server, or in the middle, as rogue as she likes", verbs: verbs}
}

// cutPassword takes the option password=P off the end of the arguments.
func (c *call) cutPassword(otherwise string) (args []string, password string) {
	args = c.args
	if n := len(args); n > 0 {
		if guess, ok := strings.CutPrefix(args[n-1], "password="); ok {
			return args[:n-1], guess
		}
	}
	return args, otherwise
}

// setting is a login of the client's, by one who has the password. Its error tells
// nothing of that.
func (st *stage) setting(name, password string) (s fixtures.Login, err error) {
	s = fixtures.Login{
		User: st.user(name), Name: st.user(name), Mechanism: scram.SHA256Plus, Binding: scram.TypeExporter,
		Flag: "n", Salt: "salt of Mallory's", Iterations: scram.MinIterations,
	}
	switch {
	case st.choice.Get("mechanism") == "plain":
		s.Mechanism = scram.SHA256
	case st.choice.Get("tls") == "1.2":
		s.Binding = scram.TypeServerEndPoint
	}
	s.Stored, err = scram.Prepare(password)
	return s, err
}

// doAlters logs in with the part changed after which the verb is called.
func doAlters(ctx context.Context, c *call) (string, error) {
	args, password := c.cutPassword(c.stage.password("alice"))
	var change mallory.Change
	switch {
	case c.verb.name != "unaltered" && len(args) == 1:
		change = mallory.Change{Part: c.verb.name, How: args[0]}
	case c.verb.name != "unaltered" || len(args) > 0:
		return "", fmt.Errorf("usage: mallory %s %s", c.verb.name, c.verb.args)
	}
	who, err := c.stage.setting("alice", password)
	if err != nil {
		return "", err
	}
	return "", c.actor().impersonate(ctx, who, change)
}

// doFlag logs in with a gs2 flag that is not p, which stands for channel binding.
func doFlag(ctx context.Context, c *call) (string, error) {
	args, password := c.cutPassword(c.stage.password("alice"))
	if len(args) != 1 || args[0] != "n" && args[0] != "y" {
		return "", fmt.Errorf("flag can't be %q but n or y", args)
	}
	who, err := c.stage.setting("alice", password)
	if err != nil {
		return "", err
	}
	who.Mechanism, who.Flag = scram.SHA256, args[0]
	return "", c.actor().impersonate(ctx, who, mallory.Change{})
}

// impersonate logs in on a connection of nothing but lines. That the server
// refuses her is for hears to judge; an error is that she couldn't say what she
// wanted to.
func (a *actor) impersonate(ctx context.Context, who fixtures.Login, change mallory.Change) error {
	login, err := mallory.Login(mallory.Client, who, change)
	if err != nil {
		return err
	}
	if err = a.connect(ctx, connection{}); err != nil {
		return err
	}
	if err := a.greeting(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	conn := a.tls
	a.mu.Unlock()
	end := &lineServer{actor: a, mechanism: who.Mechanism}
	have := fixtures.Facilities{Bindings: mallory.Bindings(conn, conn.ConnectionState().PeerCertificates[0])}
	_, err = login.Play(ctx, nil, end, have)
	return errors.Join(err, end.lost)
}

// lineServer is the server at the other end of an actor's lines.
type lineServer struct {
	actor     *actor
	mechanism string
	steps     int
	lost      error // there was no answer
}

// Next sends a message, the last one with the empty line that answers the
// server's, and takes the challenge. Another answer is left for hears.
func (s *lineServer) Next(ctx context.Context, heard []byte) ([]byte, error) {
	lines := []string{encoded(heard), ""}
	if s.steps++; s.steps == 1 {
		lines = []string{"AUTH " + s.mechanism + " " + encoded(heard)}
	}
	challenge, err := s.actor.challenge(ctx, lines...)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		s.actor.mu.Lock()
		s.actor.heard = slices.Insert(s.actor.heard, 0, refused.reply)
		s.actor.mu.Unlock()
	case err != nil:
		s.lost = err
	}
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(strings.TrimPrefix(challenge, challengePrefix))
}
