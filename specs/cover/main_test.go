package main

import (
	"io"
	"strings"
	"testing"

	"golang.org/x/tools/cover"
)

func TestStretches(t *testing.T) {
	t.Parallel()
	blocks := []cover.ProfileBlock{
		{StartLine: 1, EndLine: 9},             // another function's
		{StartLine: 10, EndLine: 12, Count: 1}, // executed
		{StartLine: 12, EndLine: 14},
		{StartLine: 14, EndLine: 18},
		{StartLine: 15, EndLine: 16},
		{StartLine: 18, EndLine: 19, Count: 7},
		{StartLine: 19, EndLine: 20},
	}
	got := stretches(blocks, function{first: 10, last: 20})
	want := []function{{first: 12, last: 18}, {first: 19, last: 20}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestFunctionsOf(t *testing.T) {
	t.Parallel()
	functions, err := functionsOf("gaps.go")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range functions {
		if f.last < f.first {
			t.Errorf("%+v", f)
		}
		names = append(names, f.name)
	}
	if got := strings.Join(names, " "); got != "gap.key gapsOf stretches functionsOf receiver" {
		t.Error(got)
	}
}

func TestAddIsASum(t *testing.T) {
	t.Parallel()
	all := map[string]*cover.Profile{}
	for _, counts := range [][]int{{0, 1, 0}, {0, 0, 1}} {
		p := &cover.Profile{FileName: "a.go"}
		for _, n := range counts {
			p.Blocks = append(p.Blocks, cover.ProfileBlock{Count: n})
		}
		if err := add(all, p); err != nil {
			t.Fatal(err)
		}
	}
	if b := all["a.go"].Blocks; b[0].Count != 0 || b[1].Count != 1 || b[2].Count != 1 {
		t.Errorf("%v", b)
	}
	if err := add(all, &cover.Profile{FileName: "a.go"}); err == nil {
		t.Error("profiles of different sources are added up")
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	known, err := parseReasons("# for people\n\na.go f: it can't happen\n")
	if err != nil {
		t.Fatal(err)
	}
	listed, other := gap{"a.go", "f", 1, 9}, gap{"b.go", "T.g", 3, 12}
	for _, tt := range []struct {
		name  string
		found []gap
		want  string
	}{
		{"listed", []gap{listed, listed}, ""},
		{"not listed", []gap{listed, other}, "b.go T.g"},
		{"no longer there", nil, "covered or gone"},
	} {
		err := judge(io.Discard, tt.found, known)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	for _, text := range []string{"a.go f", "a.go: why", "a.go f: \n", "a.go f: x\na.go f: y\n"} {
		if _, err := parseReasons(text); err == nil {
			t.Errorf("%q is taken for a reason", text)
		}
	}
}
