// Package audit is the interaction log: JSON Lines, append-only, each line chained to the one before. A server
// calls [Open], records with [Log.Info], Warn and Error, and calls [Log.Flush] before it answers. [Verify]
// finds the first line that was changed, [Lines] and [Follow] read a log, and package show prints it for
// people.
//
//	{"time":"…","level":"info","event":"request","conn":"7",…,"chain":"HEX"}
//
// chain is the lower-case hex SHA-256 over the previous line's 64 hex digits (64 zeros before the very first)
// and this line's octets before `,"chain"`. Where a file continues another one, after a rotation, its first
// line has `"head":"HEX"` before the chain: what it continues from. The log's own events: log.repair (octets,
// data) replaces a torn last line and carries it in base64; log.drop (records) counts records that were lost.
//
// The chain shows any change before the last line that did not recompute it and,
// against a head noted elsewhere, any change up to that head, a cut tail
// included. No more: who can write the file can recompute all behind that head.
package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// MaxLine bounds a line, written or read, in octets with its newline.
const MaxLine = 16 << 20

const (
	maxKept      = 1 << 20 // octets, and one record, that wait for a retry
	secondLayout = "2006-01-02T15:04:05"
)

// Sync says when the log is forced to the disk: never (what is flushed survives
// the process), at SessionEnd, or at every Flush.
type Sync int

const SyncNone, SyncSession, SyncRecord Sync = 0, 1, 2

var syncWords = []string{"none", "session", "record"}

// String returns the word for s, as Set takes it.
func (s Sync) String() string { return syncWords[s] }

// Set makes s what a word says: none, session or record.
func (s *Sync) Set(word string) error {
	i := slices.Index(syncWords, word)
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", word, strings.Join(syncWords, ", "))
	}
	*s = Sync(i)
	return nil
}

// Options of a log; the zero value is ready for use.
type Options struct {
	Sync Sync             // zero: SyncNone
	Now  func() time.Time // nil: time.Now
}

// Log is an open interaction log, for use from any goroutine. The records that
// one goroutine sends keep their order.
type Log struct {
	opts Options
	enc  zerolog.Logger
	path string
	last atomic.Pointer[second] // in which a record was begun

	mu     sync.Mutex
	w      io.Writer
	file   *os.File // what w writes to, if Open made the log
	size   int64    // octets that were wholly written,
	head   link     // and where they end
	out    []byte   // lines to write,
	chain  chain    // and where they end
	failed bool     // the last write did
	lost   int      // records that did not come into out
}

// New makes a log that begins its chain on any writer. It neither syncs nor
// closes w, nor takes back what w took of a write that failed.
func New(w io.Writer, o Options) *Log {
	l := &Log{opts: o, w: w, head: genesis(), chain: chain{head: genesis()}}
	if o.Now == nil {
		l.opts.Now = time.Now
	}
	l.enc = zerolog.New((*sink)(l))
	return l
}

// Info, Warn and Error begin a record: time, level, event, conn (the connection's id, left out if empty). The
// caller adds the event's fields, but none of these nor head or chain, and calls Send. Durations are seconds,
// as in Float64("duration", d.Seconds()), sizes octets.
func (l *Log) Info(event, conn string) *zerolog.Event  { return l.start("info", event, conn) }
func (l *Log) Warn(event, conn string) *zerolog.Event  { return l.start("warn", event, conn) }
func (l *Log) Error(event, conn string) *zerolog.Event { return l.start("error", event, conn) }

// start writes the time and the level, which need no escaping, as one piece: the value of "time",
// its quote closed, and the level as another field.
func (l *Log) start(level, event, conn string) *zerolog.Event {
	var buf [64]byte
	head := append(l.appendNow(append(buf[:0], '"')), `","level":"`...)
	e := l.enc.Log().RawJSON("time", append(append(head, level...), '"'))
	if e == nil { // zerolog is switched off in the whole process: count the loss
		_, _ = (*sink)(l).Write([]byte("no line"))
	}
	if e = e.Str("event", event); conn != "" {
		e.Str("conn", conn)
	}
	return e
}

// second is one as text: formatting it takes a tenth of a request.
type second struct {
	unix int64
	text string
}

// appendNow appends the time in UTC, in RFC 3339 with microseconds.
func (l *Log) appendNow(dst []byte) []byte {
	t := l.opts.Now()
	s := l.last.Load()
	if s == nil || s.unix != t.Unix() {
		s = &second{t.Unix(), t.UTC().Format(secondLayout)}
		l.last.Store(s)
	}
	dst = append(append(dst, s.text...), '.')
	for micro, unit := t.Nanosecond()/1000, 100_000; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+micro/unit%10))
	}
	return append(dst, 'Z')
}

// sink is where zerolog leaves a finished record.
type sink Log

func (s *sink) Write(p []byte) (int, error) {
	l := (*Log)(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) > maxKept {
		_ = l.write() // what it can't write stays for the next Flush
	}
	oneLine := bytes.IndexByte(p, '\n') == len(p)-1
	if !oneLine || len(p)+2*linkLen > MaxLine || len(l.out) > maxKept {
		l.lost++
	} else {
		l.add(p)
	}
	return len(p), nil
}

// add chains one record. The first of a file that continues another says so.
func (l *Log) add(record []byte) {
	start, continues := len(l.out), l.size == 0 && len(l.out) == 0 && l.head != genesis()
	l.out = append(l.out, bytes.TrimSuffix(record, []byte("}\n"))...)
	if continues {
		l.out = appendLink(l.out, "head", l.head)
	}
	l.chain.add(l.out[start:])
	l.out = append(appendLink(l.out, "chain", l.chain.head), "}\n"...)
}

// note adds a record of the log's own.
func (l *Log) note(event, fields string) {
	now := l.appendNow(nil)
	l.add(fmt.Appendf(nil, `{"time":"%s","level":"warn","event":"%s",%s}`+"\n", now, event, fields))
}

// Flush writes all records sent so far in one system call; with SyncRecord they are then on the disk. When it
// fails they are kept, up to 1 MiB, and the next Flush takes back what was written in part and tries again.
// ErrDropped comes from the first Flush that can write, and log, that records were lost: too many to keep, or
// no line of at most MaxLine.
func (l *Log) Flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.flush()
}

func (l *Log) flush() error {
	lost, err := l.lost, l.write()
	if err != nil || lost == 0 {
		return err
	}
	l.lost = 0
	l.note("log.drop", fmt.Sprintf(`"records":%d`, lost))
	return errors.Join(fmt.Errorf("audit: %d %w", lost, ErrDropped), l.write())
}

func (l *Log) write() (err error) {
	if len(l.out) == 0 {
		return nil
	}
	if l.failed {
		err = l.undo()
	}
	if err == nil {
		_, err = l.w.Write(l.out)
	}
	if err == nil {
		err = l.sync(SyncRecord)
	}
	if l.failed = err != nil; l.failed {
		return fmt.Errorf("audit: %w", err)
	}
	l.size, l.head, l.out = l.size+int64(len(l.out)), l.chain.head, l.out[:0]
	return nil
}

// SessionEnd is Flush, and with SyncSession what was flushed is then on the disk.
func (l *Log) SessionEnd() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.flush(), l.sync(SyncSession))
}

// Head gives the chain value of the last line that was written, for Verify.
func (l *Log) Head() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.head[:])
}
