package capability

import (
	"strconv"
	"strings"
)

// Ehlo is the content of the reply to EHLO.
type Ehlo struct {
	Name                 string
	Mechanisms, Bindings []string // SASL mechanisms, and types of channel binding
	Size                 int64    // the maximum body in bytes
	Timeouts             Timeouts
	Last                 LastWords
	Stream               bool // STREAM can be used
	Admission            string
}

// String returns the lines of the reply.
func (e Ehlo) String() string {
	lines := []string{e.Name}
	if len(e.Mechanisms) > 0 {
		lines = append(lines, "AUTH "+strings.Join(e.Mechanisms, " "))
	}
	if len(e.Bindings) > 0 {
		lines = append(lines, "CBIND "+strings.Join(e.Bindings, " "))
	}
	lines = append(lines, "SIZE "+strconv.FormatInt(e.Size, 10), "PIPELINING", e.Timeouts.String(), e.Last.String())
	if e.Stream {
		lines = append(lines, "STREAM")
	}
	return strings.Join(append(lines, "ADMISSION "+e.Admission), "\n")
}
