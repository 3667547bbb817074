package keeper

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/server/audit/show"
)

// ErrNotFile means that a path leads to something that is no regular file.
var ErrNotFile = errors.New("not a regular file")

// Log is a file of what a backend says. Each line of the backend is a line of the file, with the time of its first
// byte (RFC 3339, UTC) and a space in front. A CR at the end of a line is left out. A character that would act on a
// terminal, and a byte that is not UTF-8, is written as \xNN for each of its bytes. A line of the file may have no end
// yet. Log is safe for concurrent use.
type Log struct {
	path  string
	limit int64
	log   *slog.Logger

	mu     sync.Mutex
	file   *os.File
	size   int64
	inLine bool   // the last line of the file has no end
	held   []byte // the beginning of a character, or a CR, at the end of what came
	out    []byte // reused
	grows  bool   // it could not begin anew at its limit
	broken bool   // the last write failed
	lost   int64  // bytes that could not be written since
}

// OpenLog continues the log at path, or begins one, with mode 0600. A file that would have more than limit bytes is
// renamed to path.1, in place of an older one, and the log begins anew. Later errors go to log.
func OpenLog(path string, limit int64, log *slog.Logger) (*Log, error) {
	l := &Log{path: path, limit: limit, log: log}
	return l, l.open()
}

// open opens the path. After an error the log keeps its file.
func (l *Log) open() error {
	if info, err := os.Lstat(l.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", l.path, ErrNotFile)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(l.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file, l.size, l.inLine = f, info.Size(), false
	last := []byte{'\n'}
	if _, err := f.ReadAt(last, max(0, l.size-1)); err == nil && last[0] != '\n' {
		l.inLine = true // the server was killed
		return l.endLine()
	}
	return nil
}

// Reopen opens the path again if the file was moved away or removed. After an error the log keeps its file.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	ours, err := l.file.Stat()
	if err != nil {
		return err
	}
	if there, err := os.Lstat(l.path); err == nil && os.SameFile(ours, there) {
		return nil
	}
	_ = l.endLine()
	return l.open()
}

// Close ends the last line and closes the file.
func (l *Log) Close() error {
	l.LineEnd()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

// Record is keeper's Record.
func (l *Log) Record(p []byte, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) > 0 {
		p = append(l.held, p...)
		l.held = nil
	}
	stamp := at.UTC().AppendFormat(nil, time.RFC3339+" ")
	l.out = l.out[:0]
	for len(p) > 0 {
		n, text := l.next(p)
		if n == 0 {
			l.held = append([]byte(nil), p...)
			break
		}
		l.makeRoom(len(stamp)+len(text), text[0] == '\n')
		if !l.inLine {
			l.out = append(l.out, stamp...)
		}
		l.out = append(l.out, text...)
		l.inLine = p[n-1] != '\n'
		p = p[n:]
	}
	_ = l.flush()
}

// makeRoom begins the log anew if n bytes and the end of a line don't fit. An end of a line has its place.
func (l *Log) makeRoom(n int, isEnd bool) {
	if l.size+int64(len(l.out)+n)+1 > l.limit && !(isEnd && l.inLine) {
		_ = l.flush()
		l.rotate()
	}
}

// next returns the text of the first character, or of several, and their bytes. Zero means that more must come first.
func (l *Log) next(p []byte) (n int, text []byte) {
	for n < len(p) && n < 1024 && p[n] >= ' ' && p[n] <= '~' {
		n++
	}
	if n > 0 {
		return n, p[:n]
	}
	switch {
	case p[0] == '\n':
		return 1, p[:1]
	case p[0] == '\r' && len(p) == 1:
		return 0, nil
	case p[0] == '\r' && p[1] == '\n':
		return 2, p[1:2]
	case !utf8.FullRune(p):
		return 0, nil
	}
	r, n := utf8.DecodeRune(p)
	if show.Visible(r) && (r != utf8.RuneError || n > 1) {
		return n, p[:n]
	}
	return n, escape(p[:n])
}

func escape(p []byte) (text []byte) {
	for _, b := range p {
		text = fmt.Appendf(text, `\x%02X`, b)
	}
	return text
}

// LineEnd ends a line that is not complete, as at the end of the backend.
func (l *Log) LineEnd() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out = append(l.out[:0], escape(l.held)...)
	l.held = nil
	_ = l.flush()
	_ = l.endLine()
}

func (l *Log) endLine() error {
	if !l.inLine {
		return nil
	}
	l.inLine = false
	l.out = append(l.out[:0], '\n')
	return l.flush()
}

// flush writes out. It tells of the first of several errors, and how much was lost when it works again.
func (l *Log) flush() error {
	out := l.out
	l.out = l.out[:0]
	if len(out) == 0 {
		return nil
	}
	n, err := l.file.Write(out)
	l.size += int64(n)
	switch {
	case err != nil:
		if l.lost += int64(len(out) - n); !l.broken {
			l.log.Error("the console log can't be written: what the backend says is lost", "log", l.path, "error", err)
		}
		l.broken = true
	case l.broken:
		l.log.Warn("the console log is written again", "log", l.path, "lost bytes", l.lost)
		l.broken, l.lost = false, 0
	}
	return err
}

// rotate begins the log anew at its limit. If it can't, the log grows on, so that nothing is lost.
func (l *Log) rotate() {
	if l.size == 0 {
		return
	}
	_ = l.endLine()
	err := os.Rename(l.path, l.path+".1")
	if err == nil {
		err = l.open()
	}
	if err != nil {
		if !l.grows {
			l.log.Error("the console log has reached its limit, but can't begin anew: it grows on", "log", l.path, "error", err)
		}
		l.grows = true
		return
	}
	l.grows = false
	l.log.Info("the console log has reached its limit and begins anew", "log", l.path, "older", l.path+".1")
}
