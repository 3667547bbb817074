// Package audit writes and verifies the interaction log: JSON Lines, append-only, each line chained to the line
// before. A server calls [Open], records events with [Log.Info], Warn and Error, and calls [Log.Flush] before it sends
// a reply. [Verify] finds the first line that was changed. [Lines] and [Follow] read a log; package show prints it.
//
//	{"time":"…","level":"info","event":"request","conn":"7",…,"chain":"HEX"}
//
// A line gets its hash when its event is sent: chain is the lower-case hex SHA-256 over the previous line's 64 hex
// digits (64 zeros before the first line of all) and this line's bytes before `,"chain"`. After a rotation the first
// line of the new file has `"head":"HEX"` before the chain, the hash of the old file's last line. The log's own events
// are log.repair (octets, data), which replaces a torn last line and contains it in base64, and log.drop (records),
// which counts lost records.
//
// The chain shows any change except one by a writer who recomputed it. Against a head that was noted elsewhere it shows
// any change up to that head, also a cut tail. It shows no more: a writer can recompute everything after that head.
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

// MaxLine is the maximum length of a line, written or read, in bytes with its newline.
const MaxLine = 16 << 20

const (
	maxKept      = 1 << 20 // bytes that wait for a retry, and one record
	secondLayout = "2006-01-02T15:04:05"
)

// Sync says when the log is forced to the disk: never, at SessionEnd, or at every Flush. Without it flushed
// records survive the process, but not a loss of power.
type Sync int

const SyncNone, SyncSession, SyncRecord Sync = 0, 1, 2

var syncWords = []string{"none", "session", "record"}

// String returns the word for s: none, session or record.
func (s Sync) String() string { return syncWords[s] }

// Set parses a word that String returns.
func (s *Sync) Set(word string) error {
	i := slices.Index(syncWords, word)
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", word, strings.Join(syncWords, ", "))
	}
	*s = Sync(i)
	return nil
}

// Options configure a log. The zero value is ready to use.
type Options struct {
	// Sync is SyncNone by default.
	Sync Sync
	// Now returns the time. Nil means time.Now.
	Now func() time.Time
}

// Log is an open interaction log. It is safe for concurrent use. Records of one goroutine keep their order.
type Log struct {
	opts Options
	enc  zerolog.Logger
	path string
	last atomic.Pointer[second] // the second of the last record

	mu     sync.Mutex
	w      io.Writer
	file   *os.File // the file below w, if Open made the log
	size   int64    // bytes written, and head is the hash at their end
	head   link
	out    []byte // lines to write, and chain is the hash at their end
	chain  chain
	failed bool // the last write failed
	lost   int  // records that are not in out
}

// New makes a log that begins its chain on any writer. It neither syncs nor closes w, and it can't take back
// what w took of a failed write.
func New(w io.Writer, o Options) *Log {
	l := &Log{opts: o, w: w, head: genesis(), chain: chain{head: genesis()}}
	if o.Now == nil {
		l.opts.Now = time.Now
	}
	l.enc = zerolog.New((*sink)(l))
	return l
}

// Info, Warn and Error begin a record with time, level, event and conn (the connection's id, omitted if empty).
// The caller adds the event's fields and calls Send. Field names must differ from these and from head and
// chain. Durations are seconds, as in Float64("duration", d.Seconds()); sizes are bytes.
func (l *Log) Info(event, conn string) *zerolog.Event  { return l.start("info", event, conn) }
func (l *Log) Warn(event, conn string) *zerolog.Event  { return l.start("warn", event, conn) }
func (l *Log) Error(event, conn string) *zerolog.Event { return l.start("error", event, conn) }

// start adds the time and the level, which need no escaping, as one piece: the value of "time", its closing
// quote, and the level as another field.
func (l *Log) start(level, event, conn string) *zerolog.Event {
	var buf [64]byte
	head := append(l.appendNow(append(buf[:0], '"')), `","level":"`...)
	e := l.enc.Log().RawJSON("time", append(append(head, level...), '"'))
	if e == nil { // zerolog is disabled in the whole process: count the record as lost
		_, _ = (*sink)(l).Write([]byte("no line"))
	}
	if e = e.Str("event", event); conn != "" {
		e.Str("conn", conn)
	}
	return e
}

// second is a second as text. It is cached because formatting it takes a tenth of a request.
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

// sink receives finished records from zerolog.
type sink Log

func (s *sink) Write(p []byte) (int, error) {
	l := (*Log)(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) > maxKept {
		_ = l.write() // the next Flush retries
	}
	oneLine := bytes.IndexByte(p, '\n') == len(p)-1
	if !oneLine || len(p)+2*linkLen > MaxLine || len(l.out) > maxKept {
		l.lost++
	} else {
		l.add(p)
	}
	return len(p), nil
}

// add chains one record and appends it to out. The first record of a file that continues another has a head.
func (l *Log) add(record []byte) {
	start, continues := len(l.out), l.size == 0 && len(l.out) == 0 && l.head != genesis()
	l.out = append(l.out, bytes.TrimSuffix(record, []byte("}\n"))...)
	if continues {
		l.out = appendLink(l.out, "head", l.head)
	}
	l.chain.add(l.out[start:])
	l.out = append(appendLink(l.out, "chain", l.chain.head), "}\n"...)
}

// note adds a record about the log itself.
func (l *Log) note(event, fields string) {
	now := l.appendNow(nil)
	l.add(fmt.Appendf(nil, `{"time":"%s","level":"warn","event":"%s",%s}`+"\n", now, event, fields))
}

// Flush writes all records sent so far in one system call. With SyncRecord they are then on the disk. After an
// error the log keeps them, up to 1 MiB, and the next Flush takes back a partial write and retries. The first
// Flush that can write returns and logs ErrDropped if records were lost: because there were too many to keep,
// or because one was longer than MaxLine.
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

// SessionEnd is Flush. With SyncSession all records are then on the disk.
func (l *Log) SessionEnd() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.flush(), l.sync(SyncSession))
}

// Head returns the hash of the last line that was written, for Verify.
func (l *Log) Head() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.head[:])
}
