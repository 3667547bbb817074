package harness

import (
	"slices"
	"strings"
)

// Lines returns the lines of the given events in a log so far, or all if none are given.
func Lines(l *Log, events ...string) (all []Line) {
	for text := range strings.Lines(l.String()) {
		line, err := ParseLine(text)
		if err != nil {
			panic(err)
		}
		if len(events) == 0 || slices.Contains(events, line.Str("event")) {
			all = append(all, line)
		}
	}
	return all
}

// Connections returns the events of each connection in a log, in the order in
// which the connections began.
func Connections(l *Log) (all [][]string) {
	began := map[string]int{}
	for _, line := range Lines(l) {
		conn := line.Str("conn")
		if conn == "" {
			continue
		}
		i, known := began[conn]
		if !known {
			i, all = len(all), append(all, nil)
			began[conn] = i
		}
		all[i] = append(all[i], line.Str("event"))
	}
	return all
}
