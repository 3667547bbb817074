package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Open continues the log at path, or begins one with mode 0600. If a crash has torn the last line, Open
// replaces it by a log.repair record. The error is ErrNoChain if the last line has no well-formed chain
// value, and ErrNotFile if the path leads to a folder, a pipe or a device.
func Open(path string, o Options) (*Log, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	l := New(f, o)
	l.path, l.file = path, f
	if l.place, err = placeOf(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err = l.resume(f); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: last line: %w", path, err), f.Close())
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_, _ = dir.Sync(), dir.Close() // makes a new file's name durable where the system can
	}
	return l, nil
}

// openFile opens a regular file to append to. It opens nothing else: that could wait, or move a tape.
func openFile(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w", path, ErrNotFile)
	}
	return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
}

// maxRepair bounds the bytes in one log.repair, so that their base64 still fits into a line.
const maxRepair = MaxLine / 2

// resume reads the end of the file and continues its chain.
func (l *Log) resume(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	end := make([]byte, min(info.Size(), maxRepair))
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
	l.repair(torn)
	l.failed = true // put cuts the torn line off
	if err = l.commit(l.put()); err != nil && l.undo() == nil {
		_, _ = f.Write(torn) // for the next Open
	}
	return err
}

// Reopen flushes, and opens the path again if the file was moved away. The new file continues the chain. It
// must be missing or empty, or end with the head of this log (else ErrMismatch). After an error the log keeps
// its file. Reopen begins a file that was truncated or removed as Flush does.
func (l *Log) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.move = move{}
	why := l.changed(l.size)
	if why == signal && len(l.out) > 0 {
		if err := l.commit(l.put()); err != nil {
			return err
		}
	}
	if why != "" {
		if err := l.begin(why); err != nil {
			return fmt.Errorf("audit: %w", err)
		}
	}
	return errors.Join(l.flush(), l.sync(SyncSession))
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

// undo cuts the lines of a failed write off the file.
func (l *Log) undo() error {
	if l.file == nil {
		return nil
	}
	info, err := l.file.Stat()
	if err == nil && l.size < info.Size() {
		err = l.file.Truncate(l.size)
	}
	return err
}
