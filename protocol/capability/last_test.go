package capability

import (
	"slices"
	"testing"
)

func TestLastWords(t *testing.T) {
	t.Parallel()
	if line := (LastWords{NoWait, Stat}).String(); line != "LAST nowait stat" {
		t.Errorf("%q", line)
	}
	for ehlo, want := range map[string]LastWords{
		"":                                       nil,
		"rig\nADMISSION queue":                   nil,
		"rig\nLAST\nADMISSION queue":             nil,
		"rig\nLAST nowait  later\nADMISSION":     {NoWait, "later"},
		"rig\nLASTING nowait\nLAST stat\nLAST x": {Stat, "x"},
	} {
		if got := ParseLastWords(ehlo); !slices.Equal(got, want) {
			t.Errorf("%q: %q", ehlo, got)
		}
	}
	for word, want := range map[string]bool{"stat": true, "Word-2": true, "": false, "c=biws": false, "stat nowait": false, "stat\n": false, "é": false, "\xff": false} {
		if IsWord(word) != want {
			t.Errorf("%q", word)
		}
	}
}
