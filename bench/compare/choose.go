package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// choose keeps what matches, and what the goals of that compare it with.
func choose(groups []bench.Group, match *regexp.Regexp, all []goal) (chosen []bench.Group, err error) {
	var wanted []string
	names := namesOf(groups)
	for _, name := range names {
		if match.MatchString(name) {
			wanted = append(wanted, name)
			wanted = append(wanted, comparedWith(name, names, all)...)
		}
	}
	for _, g := range groups {
		g.Subjects = slices.DeleteFunc(slices.Clone(g.Subjects), func(s bench.Subject) bool {
			return !slices.Contains(wanted, g.Name+"/"+s.Name)
		})
		if len(g.Subjects) > 0 {
			chosen = append(chosen, g)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no benchmark's name matches %q", match)
	}
	return chosen, nil
}

// comparedWith is what the goals need whose first subject this is.
func comparedWith(name string, names []string, all []goal) (others []string) {
	for _, g := range all {
		if first, _ := g.of[0].find(names); first != name {
			continue
		}
		for _, s := range g.of[1:] {
			if other, ok := s.find(names); ok {
				others = append(others, other)
			}
		}
	}
	return others
}

func namesOf(groups []bench.Group) (names []string) {
	for _, g := range groups {
		for _, s := range g.Subjects {
			names = append(names, g.Name+"/"+s.Name)
		}
	}
	return names
}

// shape sets the rounds and blocks: those given, else the group's, else the
// defaults of package bench.
func shape(groups []bench.Group, rounds int, block time.Duration) []bench.Group {
	for i := range groups {
		g := &groups[i]
		g.Rounds = cmp.Or(rounds, g.Rounds, 100)
		g.Block = cmp.Or(block, g.Block, 20*time.Millisecond)
	}
	return groups
}
