package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"time"
)

// Why a file was begun anew, as the field why of log.rotate.
const (
	signal    = "signal"    // the file had been moved away: a rotation
	truncated = "truncated" // the file was shorter than what the log had written
	vanished  = "vanished"  // the file was removed, or moved away without a Reopen afterwards
)

// grown means that the file is longer than what the log has written. It goes on.
const grown = "grown"

// signalWait is how long after a file was moved away Reopen may be called, so that it is no loss.
const signalWait = 10 * time.Second

// changed returns what happened to the file, which should have size bytes: one of the words above, or "" for nothing.
func (l *Log) changed(size int64) string {
	if l.file == nil {
		return ""
	}
	switch there, same := l.place.look(); {
	case !same && linked(l.file):
		return signal
	case !same:
		return vanished
	case there < size:
		return truncated
	case there > size && !l.failed: // a failed write may have left bytes of its own
		return grown
	}
	return ""
}

// begin begins the file anew. Its first line says why. Because it is the first, it also has the head of the
// old file. The lines in out follow. A file that has grown is not begun anew, but loses what is not the log's.
// After an error the log keeps its file.
func (l *Log) begin(why string) (err error) {
	size, rest := l.size, []byte(nil)
	switch why {
	case truncated:
		rest, err = l.empty()
	case grown:
		rest, err = l.cutOff()
	default:
		err = l.replace()
	}
	if err != nil {
		return err
	}
	if why != grown && size == 0 {
		return nil // there was no line
	}
	l.chainAgain(func() {
		switch why {
		case grown:
		case signal:
			l.rotated("info", why, size)
		default:
			l.rotated("error", why, size)
		}
		l.repair(rest)
	})
	return nil
}

func (l *Log) rotated(level, why string, size int64) {
	l.note(level, "log.rotate", fmt.Sprintf(`"why":"%s","size":%d`, why, size))
}

// A move is a file that was moved away, and for which Reopen was not called yet.
type move struct {
	at   time.Time // zero for none
	size int64
}

// watchMove notes that a file was moved away, and that nobody has called Reopen in time.
func (l *Log) watchMove() {
	if !l.move.at.IsZero() && l.opts.Now().Sub(l.move.at) >= signalWait {
		l.rotated("error", vanished, l.move.size)
		l.move = move{}
	}
}

// empty empties the file and returns what was in it, except the lines of out. It can't keep whole lines,
// because the chain of the new lines does not continue them. If they are too many for a record, it begins another
// file.
func (l *Log) empty() (rest []byte, err error) {
	rest, err = l.after(0)
	if errors.Is(err, errTooLong) {
		return nil, l.setAside()
	}
	if err == nil {
		err = l.file.Truncate(0)
	}
	if err == nil {
		l.size, l.failed = 0, false
	}
	return rest, err
}

// setAside gives the file another name, without the lines of out, and begins one at the path.
func (l *Log) setAside() error {
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	whole := info.Size() - int64(len(l.out))
	end, err := l.after(whole)
	if err == nil && len(end) == 0 {
		err = l.file.Truncate(whole)
	}
	if err == nil {
		err = os.Link(l.path, l.path+l.opts.Now().UTC().Format(".cut-20060102T150405Z")) // it replaces no file
	}
	if err == nil {
		err = os.Remove(l.path)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrCut, err)
	}
	return l.replace()
}

// cutOff cuts off what others have written behind the lines of the log, and returns what a record can have of it.
func (l *Log) cutOff() (rest []byte, err error) {
	rest, err = l.after(l.size)
	if errors.Is(err, errTooLong) {
		rest = make([]byte, maxRepair)
		_, err = l.file.ReadAt(rest, l.size)
	}
	if err == nil {
		err = l.file.Truncate(l.size)
	}
	return rest, err
}

// errTooLong means that bytes don't fit into one log.repair.
var errTooLong = errors.New("too long for a record")

// after returns the bytes of the file from an offset on, except the lines of out.
func (l *Log) after(offset int64) (rest []byte, err error) {
	info, err := l.file.Stat()
	if err != nil {
		return nil, err
	}
	size := max(0, info.Size()-offset)
	if size > maxRepair+int64(len(l.out)) {
		return nil, errTooLong
	}
	rest = make([]byte, size)
	if _, err = l.file.ReadAt(rest, offset); err != nil {
		return nil, err
	}
	before, behind, _ := bytes.Cut(rest, l.out)
	return append(before, behind...), nil
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
