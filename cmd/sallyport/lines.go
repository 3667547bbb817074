package main

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

// lineReader reads lines that do not come from a terminal.
type lineReader struct {
	in    *bufio.Reader
	begun bool
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(r, 2*protocol.MaxLine)}
}

// next returns the next line without its end, and the first one without a byte order mark, which Windows' editors
// put there. If a line does not fit the buffer, it is too long for a request.
// Then next skips all of it, and returns its beginning and protocol.ErrLineTooLong.
func (l *lineReader) next() (string, error) {
	text, err := l.in.ReadSlice('\n')
	line := string(text)
	if !l.begun {
		line, l.begun = strings.TrimPrefix(line, "\ufeff"), true
	}
	tooLong := errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = l.in.ReadSlice('\n')
	}
	switch {
	case tooLong && (err == nil || errors.Is(err, io.EOF)):
		return line, protocol.ErrLineTooLong
	case err == nil, errors.Is(err, io.EOF) && line != "":
		return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
	}
	return "", err
}

// parseRequest splits a line into verb and argument. The line may be indented.
func parseRequest(line string) protocol.Request {
	verb, argument, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	return protocol.Request{Verb: verb, Argument: argument}
}
