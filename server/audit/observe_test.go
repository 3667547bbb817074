package audit

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// observed opens a log, and collects the records that Observe gets.
func observed(t *testing.T) (l *Log, path string, lines *[]string) {
	t.Helper()
	lines = new([]string)
	l, path = open(t, Options{Observe: func(line []byte) {
		if !json.Valid(line) {
			t.Errorf("%s is no JSON", line)
		}
		*lines = append(*lines, string(line))
	}})
	return l, path, lines
}

// A record is observed once, as it is logged, also the log's own after a rotation.
func TestObserve(t *testing.T) {
	t.Parallel()
	l, path, lines := observed(t)
	request(l, 1)
	record(t, l, "a")
	first := read(t, path)
	check(t, os.Rename(path, path+".1"))
	request(l, 2)
	record(t, l, "b") // this Flush begins the new file
	links := regexp.MustCompile(`(,"head":"\w+")?,"chain":"\w+"`)
	all := strings.Split(strings.TrimSuffix(links.ReplaceAllString(first+read(t, path), ""), "\n"), "\n")
	equal(t, "the file", len(all), 5)
	// The file begins with log.rotate, but the records were logged before.
	equal(t, "observed", *lines, []string{all[0], all[1], all[3], all[4], all[2]})
}

func TestObserveOnAFullDisk(t *testing.T) {
	t.Parallel()
	l, _, lines := observed(t)
	l.w = &faulty{Writer: l.file, err: syscall.ENOSPC}
	long := strings.Repeat("x", maxKept+1)
	l.Info("a", "").Str("x", long).Send()
	l.Info("b", "").Send() // is dropped
	is(t, "Flush", l.Flush(), syscall.ENOSPC)
	equal(t, "records", len(*lines), 2)
}
