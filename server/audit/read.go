package audit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"iter"
	"os"
	"time"
)

// File is one file of a log.
type File struct {
	// Name is the name in errors.
	Name string
	io.Reader
}

// Lines returns each line of a log, with its newline. A line is valid until the next one. Lines unpacks gzip.
//
// Beside an error the line is the last, and incomplete: it has no newline (ErrTorn), is longer than MaxLine
// (ErrTooLong), or can't be read. If no line at the start of r begins as a record does, Lines returns only
// ErrNotLog.
func Lines(r io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		in, err := begin(r)
		if err != nil {
			yield(nil, err)
			return
		}
		for line := []byte(nil); err == nil; line = line[:0] {
			if line, err = appendLine(line, in); err == io.EOF || !yield(line, err) {
				return
			}
		}
	}
}

// begin returns a reader that unpacks gzip. The error is ErrNotLog if the start is no record. Any other error
// says why the start can't be read.
func begin(r io.Reader) (*bufio.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if start, _ := in.Peek(2); string(start) == "\x1f\x8b" {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReaderSize(unpacked, 64<<10)
	}
	const record = `{"time":"`
	if _, err := in.Peek(len(record)); err != nil && err != io.EOF { // it fills the buffer without waiting for more
		return nil, err
	}
	start, _ := in.Peek(in.Buffered())
	if len(start) > 0 && !bytes.HasPrefix(start, []byte(record)) && !bytes.Contains(start, []byte("\n"+record)) {
		return nil, ErrNotLog
	}
	return in, nil
}

// appendLine appends the next line. After the last one the error is io.EOF.
func appendLine(line []byte, in *bufio.Reader) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > MaxLine:
			return line, ErrTooLong
		case err == bufio.ErrBufferFull:
			continue
		case err == io.EOF && len(line) > 0:
			return line, ErrTorn
		}
		return line, err
	}
}

// Follow reads the log at path and then waits for lines that are appended, also after a rotation. Of a file
// that was truncated it reads what is written since. It looks four times a second. When ctx is done, Read
// returns io.EOF. One goroutine at a time may use the reader.
func Follow(ctx context.Context, path string) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return &follower{ctx, path, file}, nil
}

type follower struct {
	ctx  context.Context
	path string
	file *os.File
}

func (f *follower) Close() error { return f.file.Close() }

func (f *follower) Read(p []byte) (int, error) {
	for f.ctx.Err() == nil {
		there, missing := os.Stat(f.path) // before the read: once another file has the path, this one is complete
		n, err := f.file.Read(p)
		if err != io.EOF {
			return n, err
		}
		here, _ := f.file.Stat()
		if at, err := f.file.Seek(0, io.SeekCurrent); err == nil && at > here.Size() {
			_, _ = f.file.Seek(0, io.SeekStart)
			continue
		}
		if missing == nil && !os.SameFile(here, there) {
			if next, err := os.Open(f.path); err == nil {
				_ = f.file.Close()
				f.file = next
				continue
			}
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(time.Second / 4):
		}
	}
	return 0, io.EOF
}
