// Package audit writes and reads the interaction log: JSON Lines, append-only, each line chained to the one
// before. Start with [Open]. A server records with [Log.Info], [Log.Warn] and [Log.Error], and calls
// [Log.Flush] before it answers. [Verify] finds the first line that was changed. [Lines] and [Follow] read a
// log. Package show prints it.
//
// # The chain
//
//	{"time":"…","level":"info","event":"request","conn":"K4ZQ7M-1",…,"chain":"HEX"}
//
// A record gets its hash in chain.add (chain.go), which [zerolog.Event.Send] calls. The hash is the
// SHA-256, in lower-case hex, of the previous line's 64 hex digits (64 zeros before the very first line) and
// of this line's bytes before `,"chain"`. After a rotation the first line of the new file has `"head":"HEX"`
// before the chain: the hash that it continues.
//
// Against a head noted elsewhere ([Log.Head]), the chain reveals any change up to that head, a cut tail
// included. Without a noted head it reveals any change before the last line, unless the writer recomputed the
// chain from there on: anybody who can write the file can do that.
//
// The log has four events of its own. log.repair (octets, data) replaces a torn last line, or what another
// program has written into the file, and carries the bytes in base64. log.drop (records) counts records that were lost. log.rotate (why, size) is the first line
// of a file that continues another: why is signal (the file was moved away), truncated or vanished, and size what was
// written to that file. log.space (free) warns that the disk is nearly full.
package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
)

// MaxLine bounds a line that is written or read, in bytes with its newline.
const MaxLine = 16 << 20

// maxKept bounds the bytes that wait for a retry. One record more may wait.
const maxKept = 1 << 20

// Sync is the moment when the log is forced to the disk.
type Sync int

const (
	// SyncNone never forces it: flushed records survive the process, but not a loss of power.
	SyncNone Sync = iota
	// SyncSession forces it at each SessionEnd.
	SyncSession
	// SyncRecord forces it at each Flush.
	SyncRecord
)

var syncWords = []string{"none", "session", "record"}

// String returns the word that Set takes.
func (s Sync) String() string { return syncWords[s] }

// Set reads a word: none, session or record.
func (s *Sync) Set(word string) error {
	i := slices.Index(syncWords, word)
	if i < 0 {
		return fmt.Errorf("audit: %q is not one of %s", word, strings.Join(syncWords, ", "))
	}
	*s = Sync(i)
	return nil
}

// Options configure a log. The zero Options are ready to use.
type Options struct {
	// Sync is the moment when the log is forced to the disk. Zero means SyncNone.
	Sync Sync
	// Now returns the time of a record. Nil means time.Now.
	Now func() time.Time
	// Low gets the free bytes when the disk of the log is nearly full: below 1 % of its size, but at least
	// 64 MiB and at most 1 GiB. The log has a log.space then. Flush calls Low, which must not use the log
	// and must not block. Nil means that only the log says so.
	Low func(free int64)
	// Observe gets each record as its JSON line, without head and chain, in the order of the log, also if the record
	// can't be written then. The line is valid during the call. Observe must not use the log, block or panic: each
	// client waits for it. Nil means none.
	Observe func(line []byte)
	// Ended is called at the end of each SessionEnd, when State has the head behind the session. It must not use the
	// log, block or panic. Nil means none.
	Ended func()
}

// Log is an open interaction log. It is safe for concurrent use. The records of one goroutine keep their
// order.
type Log struct {
	opts Options
	enc  zerolog.Logger
	path string
	last atomic.Pointer[second] // the second of a recent record

	mu     sync.Mutex
	w      io.Writer
	file   *os.File // the file that w writes to; nil if New made the log
	place  *place   // where file was opened
	disk   func(*os.File) (free, size int64, err error)
	looked int64  // the second of the last look at the disk
	low    bool   // log.space was noted
	size   int64  // the number of bytes in the file
	head   link   // of the last line in the file
	out    []byte // lines to write
	chain  chain  // up to the last line in out
	failed bool   // the last write failed
	fails  int    // how many did
	lost   int    // the number of records that did not get into out
	move   move
}

// New returns a log that begins a chain on any writer. It neither syncs nor closes w. It can't take back the
// bytes of a write that failed.
func New(w io.Writer, o Options) *Log {
	l := &Log{opts: o, w: w, head: genesis(), chain: chain{head: genesis()}, disk: disk}
	if o.Now == nil {
		l.opts.Now = time.Now
	}
	l.enc = zerolog.New((*sink)(l))
	return l
}

// Info, Warn and Error begin a record with time, level, event and conn (the connection's id, left out if
// empty). The caller adds the event's other fields, but neither head nor chain, and calls Send. Durations are
// seconds, as in Float64("duration", d.Seconds()). Sizes are bytes.
func (l *Log) Info(event, conn string) *zerolog.Event  { return l.start("info", event, conn) }
func (l *Log) Warn(event, conn string) *zerolog.Event  { return l.start("warn", event, conn) }
func (l *Log) Error(event, conn string) *zerolog.Event { return l.start("error", event, conn) }

// start begins a record. It writes time and level, which need no escaping, in one piece: as the value of
// "time", with its closing quote and the level behind it.
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

// second is a formatted second, kept because formatting it takes a tenth of a request.
type second struct {
	unix int64
	text string
}

// appendNow appends the time in UTC, in RFC 3339 with microseconds.
func (l *Log) appendNow(dst []byte) []byte {
	t := l.opts.Now()
	s := l.last.Load()
	if s == nil || s.unix != t.Unix() {
		s = &second{t.Unix(), t.UTC().Format("2006-01-02T15:04:05")}
		l.last.Store(s)
	}
	dst = append(append(dst, s.text...), '.')
	for micro, unit := t.Nanosecond()/1000, 100_000; unit > 0; unit /= 10 {
		dst = append(dst, byte('0'+micro/unit%10))
	}
	return append(dst, 'Z')
}

// sink is the log as the writer of zerolog, which writes each finished record with one call.
type sink Log

func (s *sink) Write(p []byte) (int, error) {
	l := (*Log)(s)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.out) > maxKept {
		_ = l.write() // after an error the lines stay for the next Flush
	}
	oneLine := bytes.IndexByte(p, '\n') == len(p)-1
	if !oneLine || len(p)+2*linkLen > MaxLine || len(l.out) > maxKept {
		l.lost++
	} else {
		l.add(bytes.TrimSuffix(p, []byte("}\n")))
	}
	if oneLine && l.opts.Observe != nil {
		l.opts.Observe(p[:len(p)-1])
	}
	return len(p), nil
}

// add chains a record, without its end, and appends it to out. The first record of a file that continues
// another gets a head.
func (l *Log) add(record []byte) {
	start, continues := len(l.out), l.size == 0 && len(l.out) == 0 && l.head != genesis()
	l.out = append(l.out, record...)
	if continues {
		l.out = appendLink(l.out, "head", l.head)
	}
	l.chain.add(l.out[start:])
	l.out = append(appendLink(l.out, "chain", l.chain.head), "}\n"...)
}

// note adds one of the log's own events.
func (l *Log) note(level, event, fields string) {
	record := fmt.Appendf(nil, `{"time":"%s","level":"%s","event":"%s",%s`, l.appendNow(nil), level, event, fields)
	l.add(record)
	if l.opts.Observe != nil {
		l.opts.Observe(append(record, '}'))
	}
}

// Flush writes all records sent so far with one system call. With SyncRecord they are then on the disk.
//
// If the file was truncated, moved or removed, Flush begins it anew at its path, with log.rotate as its first
// record, and writes the records there. If it was moved, and ten seconds later nobody has called Reopen, another
// log.rotate says so. Flush cuts off what others have written to the file, into a log.repair.
//
// After an error, also if the writer panics, the log keeps up to 1 MiB of records. The next Flush cuts off
// what was written in part and tries again. Records get lost if there are more, or if a record is no line of
// at most MaxLine: the next Flush that succeeds logs their number as log.drop, and returns ErrDropped.
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
	l.note("warn", "log.drop", fmt.Sprintf(`"records":%d`, lost))
	return errors.Join(fmt.Errorf("%w: %d", ErrDropped, lost), l.write())
}

// write writes out. If the file was changed, it begins another one and writes out there. It looks at the file
// after each write, even one that failed, because a removed file may still fill the disk.
func (l *Log) write() (err error) {
	if len(l.out) == 0 {
		return nil
	}
	defer func() { // the writer and Options.Low are code of others
		if p := recover(); p != nil {
			err = l.commit(fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	l.watchSpace()
	l.watchMove()
	for range 3 {
		size, err := l.size, l.put()
		if err == nil {
			size += int64(len(l.out))
		}
		l.failed = l.failed || err != nil
		why, before := l.changed(size), l.size
		if why == "" {
			return l.commit(err)
		}
		if err := l.begin(why); err != nil {
			return l.commit(err)
		}
		if why == signal {
			l.move = move{l.opts.Now(), before}
		}
	}
	return l.commit(ErrLost) // the file was lost three times in a row
}

// put appends out to the file. First it cuts off what a failed write has left.
func (l *Log) put() (err error) {
	if l.failed {
		err = l.undo()
	}
	if err == nil {
		_, err = l.w.Write(l.out)
	}
	return err
}

// commit ends a write. err is the result of the write so far. If that is nil, commit syncs the file.
func (l *Log) commit(err error) error {
	if err == nil {
		err = l.sync(SyncRecord)
	}
	if l.failed = err != nil; l.failed {
		l.fails++
		return fmt.Errorf("audit: %w", err)
	}
	l.size, l.head, l.out = l.size+int64(len(l.out)), l.chain.head, l.out[:0]
	return nil
}

// SessionEnd calls Flush. With SyncSession all flushed records are then on the disk.
func (l *Log) SessionEnd() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.opts.Ended != nil {
		defer l.opts.Ended()
	}
	return errors.Join(l.flush(), l.sync(SyncSession))
}

// Head returns the chain value of the last line that was written, for Verify.
func (l *Log) Head() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.head[:])
}
