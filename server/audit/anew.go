package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
)

// Why a file was begun anew, as the field why of log.rotate.
const (
	signal    = "signal"    // Reopen was called after the file had been moved away
	truncated = "truncated" // the file was shorter than what the log had written
	vanished  = "vanished"  // the path had no file, or another one
)

// gone returns why the file is lost: truncated if it has less than size bytes, or vanished. It returns ""
// if the file is still there.
func (l *Log) gone(size int64) string {
	if l.file == nil {
		return ""
	}
	switch there, same := l.place.look(); {
	case !same:
		return vanished
	case there < size:
		return truncated
	}
	return ""
}

// begin begins the file anew. Its first line says why. Because it is the first, it also has the head of the
// old file. The lines in out follow. After an error the log keeps its file.
func (l *Log) begin(why string) (err error) {
	size, rest := l.size, []byte(nil)
	if why == truncated {
		rest, err = l.empty()
	} else {
		err = l.replace()
	}
	if err != nil {
		return err
	}
	level := "error"
	if why == signal {
		level = "info"
	} else if size == 0 {
		return nil // nothing is lost
	}
	l.chainAgain(func() {
		l.note(level, "log.rotate", fmt.Sprintf(`"why":"%s","size":%d`, why, size))
		l.repair(rest)
	})
	return nil
}

// empty empties the file and returns what was in it, except the lines of out. It can't keep whole lines,
// because the chain of the new lines does not continue them.
func (l *Log) empty() (rest []byte, err error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxRepair+int64(len(l.out)) {
		return nil, fmt.Errorf("%s: %w", l.path, ErrCut)
	}
	rest = make([]byte, info.Size())
	if _, err = l.file.ReadAt(rest, 0); err != nil {
		return nil, err
	}
	if err = l.file.Truncate(0); err == nil {
		l.size, l.failed = 0, false
	}
	return bytes.TrimSuffix(rest, l.out), err
}

// replace opens the path again. It takes the lines of out back from the old file, and closes it.
func (l *Log) replace() error {
	if err := errors.Join(l.undo(), l.sync(SyncSession)); err != nil {
		return err
	}
	next, err := Open(l.path, l.opts)
	if err != nil {
		return err
	}
	if next.size > 0 && next.head != l.head {
		return errors.Join(fmt.Errorf("%s: last line: %w", l.path, ErrMismatch), next.file.Close())
	}
	_ = l.file.Close() // everything in it that counts was written and, where the options say so, synced
	l.w, l.file, l.place, l.size, l.failed = next.file, next.file, next.place, next.size, false
	return nil
}

// chainAgain calls first, which adds lines, and then adds the lines of out again, with new chain values.
func (l *Log) chainAgain(first func()) {
	lines := l.out
	l.out, l.chain.head = nil, l.head
	first()
	for line := range bytes.Lines(lines) {
		body, _, _ := cutLink(line, "chain", "}\n")
		if rest, _, ok := cutLink(body, "head", ""); ok {
			body = rest // it was the first line of its file
		}
		l.add(body)
	}
}

// repair notes bytes that were removed from the file.
func (l *Log) repair(removed []byte) {
	if len(removed) > 0 {
		data := base64.StdEncoding.EncodeToString(removed)
		l.note("warn", "log.repair", fmt.Sprintf(`"octets":%d,"data":"%s"`, len(removed), data))
	}
}
