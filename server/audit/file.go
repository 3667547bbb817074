package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open continues the log at path, or begins one with mode 0600. A log.repair record replaces the torn last line
// that a crash may have left. ErrNoChain means that the last line has no well-formed hash: verify the file and
// move it away.
func Open(path string, o Options) (*Log, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	l := New(f, o)
	l.path, l.file = path, f
	if err = l.resume(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: last line: %w", path, err), f.Close())
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_, _ = dir.Sync(), dir.Close() // makes the name of a new file durable, if the system supports it
	}
	return l, nil
}

// resume reads the end of the file: at most 8 MiB, so that the base64 of a torn line fits a line.
func (l *Log) resume(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := make([]byte, min(info.Size(), MaxLine/2))
	if _, err = f.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return err
	}
	whole := end[:bytes.LastIndexByte(end, '\n')+1]
	torn := end[len(whole):]
	l.size = info.Size() - int64(len(torn))
	if l.size > 0 {
		var ok bool
		if _, l.head, ok = cutLink(whole, "chain", "}\n"); !ok {
			return ErrNoChain
		}
		l.chain.head = l.head
	}
	if len(torn) == 0 {
		return nil
	}
	data := base64.StdEncoding.EncodeToString(torn)
	l.note("log.repair", fmt.Sprintf(`"octets":%d,"data":"%s"`, len(torn), data))
	l.failed = true // so that write removes the torn line
	if err = l.write(); err != nil && l.undo() == nil {
		_, _ = f.Write(torn) // the next Open tries again
	}
	return err
}

// Reopen flushes, and opens the path again after the file was renamed. The new file continues the chain. It must
// be empty, or end where this log does. After any error the log keeps its old file.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	err := errors.Join(l.flush(), l.sync(SyncSession))
	if l.failed {
		return err
	}
	next, openErr := Open(l.path, l.opts)
	if openErr != nil {
		return errors.Join(err, openErr)
	}
	if next.size > 0 && next.head != l.head {
		return errors.Join(err, fmt.Errorf("%s: last line: %w", l.path, ErrMismatch), next.file.Close())
	}
	err = errors.Join(err, l.file.Close())
	l.w, l.file, l.size = next.file, next.file, next.size
	return err
}

// Close flushes as SessionEnd does, and closes the file.
func (l *Log) Close() error {
	err := l.SessionEnd()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}

// sync forces the file to the disk if Options.Sync is when.
func (l *Log) sync(when Sync) error {
	if l.file == nil || l.opts.Sync != when {
		return nil
	}
	return l.file.Sync()
}

// undo removes the rest of a write that failed or could not be synced. If an operator has emptied the file
// meanwhile, to make room, undo doesn't extend it.
func (l *Log) undo() error {
	if l.file == nil {
		return nil
	}
	info, err := l.file.Stat()
	if err != nil {
		return err
	}
	if l.size = min(l.size, info.Size()); l.size < info.Size() {
		err = l.file.Truncate(l.size)
	}
	return err
}
