package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit/show"
)

// stdout is where the results of all commands go.
var stdout = &output{file: os.Stdout}

// output is a file that remembers the first error of a write, so that a command whose
// result was lost does not end with 0.
type output struct {
	file *os.File
	mu   sync.Mutex
	err  error
}

var errNoOutput = errors.New("standard output is closed")

func (o *output) Write(p []byte) (n int, err error) {
	if closedAtStart() {
		err = errNoOutput
	} else {
		n, err = o.file.Write(p)
	}
	if ofFile, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("standard output: %w", ofFile.Err)
	}
	if err != nil {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.err == nil {
			o.err = err
		}
	}
	return n, err
}

// lost returns the first error of a write.
func (o *output) lost() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err
}

func (o *output) isTerminal() bool { return term.IsTerminal(int(o.file.Fd())) }

// visible is a terminal for texts of a peer. It shows what would act on a terminal, or not be seen, as an escape.
type visible struct{ terminal io.Writer }

func (v visible) Write(p []byte) (int, error) {
	var shown strings.Builder
	for line := range strings.Lines(string(p)) {
		text, end := strings.CutSuffix(line, "\n")
		shown.WriteString(show.Printable(text))
		if end {
			shown.WriteByte('\n')
		}
	}
	if _, err := io.WriteString(v.terminal, shown.String()); err != nil {
		return 0, err
	}
	return len(p), nil
}
