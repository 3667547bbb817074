package main

import (
	"slices"
	"strings"
)

// A selector is the name of a subject: "Login/keys=cached/of=sallyport". A part
// in brackets may be missing in what it selects, but not be another: so
// "Login/[iterations=4096]/of=tls" is "Login/of=tls" too, if there is no better.
// Parts that the selector does not have may be anything.
type selector string

// find returns the name that fits best: most of the parts, and no more of
// others than need be.
func (s selector) find(names []string) (best string, found bool) {
	most := 0
	for _, name := range names {
		if points, fits := s.fits(name); fits && (!found || points > most) {
			best, most, found = name, points, true
		}
	}
	return best, found
}

func (s selector) fits(name string) (points int, fits bool) {
	has := strings.Split(name, "/")
	for _, part := range strings.Split(string(s), "/") {
		bare := strings.Trim(part, "[]")
		switch {
		case slices.Contains(has, bare):
			points += len(s) // more than all parts that are too many
		case bare == part, hasKey(has, bare):
			return 0, false
		}
	}
	return points - len(has), true
}

func hasKey(parts []string, part string) bool {
	key, _, _ := strings.Cut(part, "=")
	return slices.ContainsFunc(parts, func(p string) bool { return strings.HasPrefix(p, key+"=") })
}

// valueOf is the value of a key in a name: of "of" in ".../of=tls", it is "tls".
func valueOf(name, key string) string {
	for _, part := range strings.Split(name, "/") {
		if value, ok := strings.CutPrefix(part, key+"="); ok {
			return value
		}
	}
	return ""
}
