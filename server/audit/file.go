package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open continues the log at path, or begins one with mode 0600. If a crash has torn the last line, Open
// replaces it by a log.repair record. The error is ErrNoChain if the last line has no well-formed chain
// value.
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
		_, _ = dir.Sync(), dir.Close() // makes a new file's name durable where the system can
	}
	return l, nil
}

// resume reads the end of the file and continues its chain. It reads at most 8 MiB, so that the base64 of a
// torn line still fits into a line.
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
	l.failed = true // write cuts the torn line off
	if err = l.write(); err != nil && l.undo() == nil {
		_, _ = f.Write(torn) // for the next Open
	}
	return err
}

// Reopen flushes, and opens the path again after the file was renamed. The new file continues the chain. It
// must be missing or empty, or end with the head of this log (else ErrMismatch). After an error the log keeps
// its file.
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

// Close calls SessionEnd and closes the file.
func (l *Log) Close() error {
	err := l.SessionEnd()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
	}
	return err
}

// sync forces the file to the disk if the options ask for it at this moment.
func (l *Log) sync(when Sync) error {
	if l.file == nil || l.opts.Sync != when {
		return nil
	}
	return l.file.Sync()
}

// undo cuts the lines of a failed write off the file. It does not stretch a file that was emptied meanwhile.
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
