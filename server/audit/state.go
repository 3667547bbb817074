package audit

import "path/filepath"

// State is the state of an open log at one moment.
type State struct {
	// Path is the absolute path of the file, empty if New made the log.
	Path string
	// Head is the chain value of the last line that was written, and Size the length of the file in bytes.
	Head string
	Size int64
	// Free is the free space on the disk of the file, in bytes. -1 means that it is not known.
	Free int64
	// Failing means that the last write failed, and Failures is the number of failed writes.
	Failing  bool
	Failures int
}

// State returns the state. Like all methods of a Log it waits for a write that is under way.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := State{Path: l.path, Head: string(l.head[:]), Size: l.size, Free: -1, Failing: l.failed, Failures: l.fails}
	if path, err := filepath.Abs(l.path); err == nil && l.path != "" {
		s.Path = path
	}
	if l.file != nil {
		if free, _, err := l.disk(l.file); err == nil {
			s.Free = free
		}
	}
	return s
}
