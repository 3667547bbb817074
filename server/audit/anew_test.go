package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// rotation is a log.rotate.
type rotation struct {
	Level, Event, Why, Head string
	Size                    int64
}

// firstOf returns the first line of a log.
func firstOf(t *testing.T, log string) (r rotation) {
	t.Helper()
	line, _, _ := strings.Cut(log, "\n")
	check(t, json.Unmarshal([]byte(line), &r))
	return r
}

// losses are what others can do to a file, each with the log's word for it.
var losses = map[string]struct {
	why string
	do  func(path string) error
}{
	"emptied": {truncated, func(path string) error { return os.Truncate(path, 0) }},
	"removed": {vanished, os.Remove},
	"moved":   {signal, func(path string) error { return os.Rename(path, path+".1") }},
	"moved, new": {signal, func(path string) error {
		return errors.Join(os.Rename(path, path+".1"), os.WriteFile(path, nil, 0o600))
	}},
}

func TestLostFileIsBegunAnew(t *testing.T) {
	t.Parallel()
	for name, loss := range losses {
		l, path := open(t, Options{})
		record(t, l, "a", "b")
		head, size := l.Head(), int64(len(read(t, path)))
		l.Info("c", "").Send()
		check(t, loss.do(path))
		l.Info("d", "").Send()
		check(t, l.Flush())
		record(t, l, "e")

		log := read(t, path)
		holds(t, log, "log.rotate", "c", "d", "e")
		level := map[bool]string{true: "info", false: "error"}[loss.why == signal]
		equal(t, name, firstOf(t, log), rotation{level, "log.rotate", loss.why, head, size})
		rep := verify(t, log, l.Head())
		equal(t, name+": from", rep.From, head)
		if old, err := os.ReadFile(path + ".1"); err == nil {
			chained(t, string(old)+log, "a", "b", "log.rotate", "c", "d", "e")
		}
	}
}

// What was left of a file that was cut is in the new one.
func TestCutFile(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a", "b")
	before := read(t, path)
	left := before[:len(before)-10]
	check(t, os.WriteFile(path, []byte(left), 0o600))
	record(t, l, "c")
	log := read(t, path)
	holds(t, log, "log.rotate", "log.repair", "c")
	equal(t, "why", firstOf(t, log).Why, truncated)
	equal(t, "the rest", string(parsed[struct{ Data []byte }](t, log)[1].Data), left)
	verify(t, log, l.Head())
}

// hooked calls before and after each write.
type hooked struct {
	io.Writer
	before, after func()
}

func (h *hooked) Write(p []byte) (int, error) {
	h.before()
	defer h.after()
	return h.Writer.Write(p)
}

// The record that is written in the moment of the loss is in the new file, once.
func TestFileIsLostDuringAWrite(t *testing.T) {
	t.Parallel()
	for name, loss := range losses {
		for _, late := range []bool{false, true} {
			l, path := open(t, Options{})
			record(t, l, "a", "b")
			do, not := sync.OnceFunc(func() { check(t, loss.do(path)) }), func() {}
			l.w = &hooked{l.file, do, not}
			if late {
				l.w = &hooked{l.file, not, do}
			}
			record(t, l, "c")
			l.w = l.file
			record(t, l, "d")
			log := read(t, path)
			holds(t, log, "log.rotate", "c", "d")
			equal(t, name, firstOf(t, log).Why, loss.why)
			verify(t, log, l.Head())
			if old, err := os.ReadFile(path + ".1"); err == nil {
				chained(t, string(old)+log, "a", "b", "log.rotate", "c", "d")
			}
		}
	}
}

func TestFileIsEmptiedByEachWrite(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	l.w = &hooked{l.file, func() {}, func() { check(t, os.Truncate(path, 0)) }}
	l.Info("b", "").Send()
	is(t, "Flush", l.Flush(), ErrLost)
	l.w = l.file
	record(t, l, "c")
	holds(t, read(t, path), "log.rotate", "b", "c")
}

// A file that was removed to make room keeps the disk full until it is closed.
func TestRemovedFileIsClosedOnAFullDisk(t *testing.T) {
	t.Parallel()
	l, path, disk := onFaultyDisk(t, 10)
	old := l.file
	disk.err = syscall.ENOSPC
	l.Info("b", "").Send()
	is(t, "Flush", l.Flush(), syscall.ENOSPC)
	check(t, os.Remove(path))
	check(t, l.Flush())
	is(t, "closing the old file again", old.Close(), os.ErrClosed)
	holds(t, read(t, path), "log.rotate", "b")
}

func TestFileThatCantBeBegunAnew(t *testing.T) {
	t.Parallel()
	var foreign strings.Builder
	record(t, New(&foreign, Options{}), "x")
	for name, c := range map[string]struct {
		block, remedy func(path string) error
		want          error
	}{
		"no folder": {
			func(path string) error { return os.RemoveAll(filepath.Dir(path)) },
			func(path string) error { return os.Mkdir(filepath.Dir(path), 0o700) },
			os.ErrNotExist,
		},
		"folder in its place": {
			func(path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) },
			os.Remove, ErrNotFile,
		},
		"another log in its place": {
			func(path string) error {
				return errors.Join(os.Remove(path), os.WriteFile(path, []byte(foreign.String()), 0o600))
			},
			os.Remove, ErrMismatch,
		},
		"too long a rest": {
			func(path string) error {
				return errors.Join(os.Truncate(path, maxRepair+10_000), os.WriteFile(path+cutSuffix, nil, 0o600))
			},
			func(path string) error { return os.Rename(path, path+".1") }, ErrCut,
		},
	} {
		l, path := open(t, Options{Now: func() time.Time { return time.Unix(1, 0) }})
		l.Info("a", "").RawJSON("x", []byte(`"`+strings.Repeat("x", maxRepair+20_000)+`"`)).Send()
		record(t, l, "b")
		head := l.Head()
		check(t, c.block(path))
		for range 2 {
			l.Info("c", "").Send()
			is(t, name, l.Flush(), c.want)
			is(t, name+": Reopen", l.Reopen(), c.want)
		}
		equal(t, name+": head", l.Head(), head)
		check(t, c.remedy(path))
		record(t, l, "d")
		log := read(t, path)
		holds(t, log, "log.rotate", "c", "c", "d")
		equal(t, name+": from", verify(t, log, l.Head()).From, head)
	}
}

// Nothing is lost with a file that has no line yet.
func TestEmptyFileVanishes(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	check(t, os.Remove(path))
	record(t, l, "a")
	chained(t, read(t, path), "a")
	check(t, os.Rename(path, path+".1"))
	check(t, l.Reopen())
	check(t, os.Remove(path))
	record(t, l, "b")
	holds(t, read(t, path), "log.rotate", "b")
}

// An editor that changes nothing leaves another file with the same lines.
func TestCopyInTheFilesPlace(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	log := read(t, path)
	check(t, errors.Join(os.Remove(path), os.WriteFile(path, []byte(log), 0o600)))
	record(t, l, "b")
	chained(t, read(t, path), "a", "log.rotate", "b")
}

// Reopen knows a rotation from a loss, also before Flush has noticed it.
func TestReopenAfterALoss(t *testing.T) {
	t.Parallel()
	for name, loss := range losses {
		for _, noticed := range []bool{false, true} {
			l, path := open(t, Options{})
			record(t, l, "a")
			check(t, loss.do(path))
			if noticed {
				record(t, l, "b")
			}
			check(t, l.Reopen())
			record(t, l, "c")
			log := read(t, path)
			equal(t, name, firstOf(t, log).Why, loss.why)
			equal(t, name, strings.Count(log, "log.rotate"), 1)
			verify(t, log, l.Head())
		}
	}
}

// While many goroutines write, the file is moved away, with a Reopen and without. All files are one log, with
// every record once.
func TestMovedWhileManyWrite(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "begin")
	var all sync.WaitGroup
	var done atomic.Int32
	for g := range 4 {
		all.Go(func() {
			defer done.Add(1)
			for n := range 200 {
				l.Info("request", fmt.Sprint(g)).Int("n", n).Send()
				if err := l.Flush(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var files []string
	for n := 0; done.Load() < 4; n++ {
		old := fmt.Sprintf("%s.%d", path, n)
		if os.Rename(path, old) == nil { // it is missing until a Flush notices
			files = append(files, old)
		}
		if n%2 == 0 {
			check(t, l.Reopen())
		}
	}
	all.Wait()
	record(t, l, "end")
	var log strings.Builder
	rotations := -1
	for _, file := range append(files, path) {
		text := read(t, file)
		log.WriteString(text)
		if text != "" { // it was moved before its first line
			rotations++
		}
	}
	links(t, log.String(), zeros)
	equal(t, "requests", strings.Count(log.String(), `"request"`), 800)
	equal(t, "rotations", strings.Count(log.String(), `"log.rotate"`), rotations)
}
