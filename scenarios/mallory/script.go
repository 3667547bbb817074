// Package mallory is the cast's attacker: Mallory says what she likes. She
// replays transcripts of fixtures as a rogue client, as a rogue server, or in the
// middle between two honest ends, and signs what she says as one who knows the
// password, so that nothing is wrong with it but what the transcript tells.
//
// [Scripts] reads the SCRAM transcripts, [Script.Replay] acts one out against the
// ends that it is given, and [Script.Judge] says whether it ended as its header
// states. Its ends [Script.Client] and [Script.Server] are those of the package
// protocol/scram; who carries messages over a connection makes others.
//
// [Login] is a login with a [Change] of one part, for whoever has no transcript.
package mallory

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/fixtures"
)

// A Script is a SCRAM transcript that can be replayed.
type Script struct {
	fixtures.Transcript
	Setting Setting
	Rand    io.Reader // for the nonces of Client and Server. nil: crypto/rand
	turns   []turn
	keys    *keys
}

// turn is one message: what the honest party says, what Mallory says, or what she
// makes of the other's. At least one is there.
type turn struct{ honest, mallory *string }

// Scripts reads the SCRAM transcripts. One with the setting "each: 0..31" becomes a
// script for each number, which then stands for {n} in its lines.
func Scripts() ([]Script, error) {
	transcripts, err := fixtures.Transcripts("scram")
	if err != nil {
		return nil, err
	}
	var all []Script
	shared := newKeys()
	for _, t := range transcripts {
		numbered, err := each(t)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
		for _, t := range numbered {
			s, err := NewScript(t)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", t.Name, err)
			}
			s.keys = shared // or the suite would take minutes
			all = append(all, s)
		}
	}
	return all, nil
}

func each(t fixtures.Transcript) (all []fixtures.Transcript, err error) {
	numbers := t.Settings["each"]
	if numbers == "" {
		return []fixtures.Transcript{t}, nil
	}
	low, high, _ := strings.Cut(numbers, "..")
	from, errFrom := strconv.Atoi(low)
	to, errTo := strconv.Atoi(high)
	if errFrom != nil || errTo != nil || from > to {
		return nil, fmt.Errorf("%q is not of the form 0..31", numbers)
	}
	for n := from; n <= to; n++ {
		one := t
		one.Name = fmt.Sprintf("%s %d", t.Name, n)
		one.Lines = nil
		for _, line := range t.Lines {
			line.Text = strings.ReplaceAll(line.Text, "{n}", strconv.Itoa(n))
			one.Lines = append(one.Lines, line)
		}
		all = append(all, one)
	}
	return all, nil
}

// NewScript makes a script of a transcript.
func NewScript(t fixtures.Transcript) (Script, error) {
	setting, err := newSetting(t.Settings)
	if err != nil {
		return Script{}, err
	}
	s := Script{Transcript: t, Setting: setting, keys: newKeys()}
	for i, lines := range t.Turns() {
		if i >= len(stages) || lines[0].From != "CS"[i%2] {
			return Script{}, fmt.Errorf("line %d: it is not this end's turn", lines[0].Number)
		}
		one, err := newTurn(lines)
		if err != nil {
			return Script{}, err
		}
		s.turns = append(s.turns, one)
	}
	return s, nil
}

func newTurn(lines []fixtures.Line) (t turn, err error) {
	for _, line := range lines {
		switch {
		case line.Kind == fixtures.Honest && t == turn{}:
			t.honest = &line.Text
		case line.Kind == fixtures.Mallory && t.mallory == nil:
			t.mallory = &line.Text
		default:
			return turn{}, fmt.Errorf("line %d: one message, and what becomes of it, is all that a turn has", line.Number)
		}
	}
	return t, nil
}
