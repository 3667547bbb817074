package mallory

import (
	"context"
	"fmt"
	"slices"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// A Way is one of those to replay a script.
type Way string

// The ways: Mallory plays the server, or the client, or stands between both.
const (
	ClientAlone Way = "the client alone"
	ServerAlone Way = "the server alone"
	EndToEnd    Way = "end to end"
)

// Ways are those in which a script means something. Where nothing is wrong but
// Mallory speaks, as one who keeps to the rules and is not our own, the end that
// she plays can't be an honest one at the same time.
func (s *Script) Ways() (ways []Way) {
	client, server := speaks(s.turns)
	if s.Stage != fixtures.Done || !client {
		ways = append(ways, ClientAlone)
	}
	if s.Stage != fixtures.Done || !server {
		ways = append(ways, ServerAlone)
	}
	return append(ways, EndToEnd)
}

// Succeeds says that nothing is wrong with a script that is replayed this way.
func (s *Script) Succeeds(way Way) bool {
	client, server := speaks(s.turns[:min(len(s.turns), 3)])
	return s.Stage == fixtures.Done && slices.Contains(s.Ways(), way) && (way != EndToEnd || !client && !server)
}

// speaks tells at which ends Mallory has a word.
func speaks(turns []turn) (client, server bool) {
	for i, turn := range turns {
		client = client || turn.mallory != nil && i%2 == 0
		server = server || turn.mallory != nil && i%2 == 1
	}
	return client, server
}

// Outcome is how a replay ended: somebody found something at a stage, or nobody
// did, and the stage is [fixtures.Done] or, where the transcript broke off, empty.
type Outcome struct{ Victim, Stage, Reason string }

// Judge says what is wrong with an outcome. The victim must find what the header
// states, the other end alone nothing. What Mallory may say in her own name is
// found, by whomever, where she says it in another's; but the last message holds
// the signature, and isn't signed.
func (s *Script) Judge(way Way, o Outcome) error {
	want := Outcome{s.Victim, s.Stage, s.Reason}
	switch {
	case s.Stage == fixtures.Done && !s.Succeeds(way):
		if o.Victim != "" {
			return nil
		}
		return fmt.Errorf("%s: nobody has found what Mallory changed", way)
	case s.Victim == "client" && way == ServerAlone, s.Victim == "server" && way == ClientAlone:
		want = Outcome{Stage: o.Stage}
	}
	if o != want {
		return fmt.Errorf("%s: the outcome is %q, not %q", way, o, want)
	}
	return nil
}

// Play replays a script against protocol/scram.
func (s *Script) Play(ctx context.Context, way Way) (Outcome, error) {
	bindings := loopback()
	var client, server End
	var err error
	if way != ServerAlone {
		client, err = s.Client(bindings)
	}
	if way != ClientAlone {
		server = s.Server(bindings)
	}
	if err != nil {
		return Outcome{}, err
	}
	return s.Replay(ctx, client, server, bindings)
}

// loopback are the bindings of no connection.
func loopback() map[string][]byte {
	return map[string][]byte{
		scram.TypeExporter:       []byte("0123456789abcdef0123456789abcdef"),
		scram.TypeServerEndPoint: []byte("fedcba9876543210fedcba9876543210"),
	}
}
