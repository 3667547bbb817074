package main

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/sallyport/sallyport/protocol"
)

// keys is the input of a term.Terminal. A Terminal ends at Ctrl-C, drops tabs, and drops what comes after 4,096
// characters. keys lets Ctrl-C clear a line that is not empty, notices tabs, and prevents the last.
type keys struct {
	io.Reader
	ctrlC *bool
	// ahead is what was typed after a Ctrl-C that typed has not seen yet.
	ahead []byte
	verbs *verbs
	// refused is why the current line can't be sent as it was typed.
	refused error
}

// maxTerminalLine is the length at which a Terminal drops the next character. It drops none from a longer line.
const maxTerminalLine = 4096

// errTab is a usageError, because nothing is sent.
var errTab = usagef("the line has a tab: such a line can be sent from a pipe")

// clearKey stands for Ctrl-C, which a Terminal would take for the end. A Terminal has no use for it and calls typed.
const clearKey = '\x1c'

// Read skips the rest of a line that is too long. It returns nothing that was typed after Ctrl-C before the next call.
func (k *keys) Read(p []byte) (n int, err error) {
	switch {
	case *k.ctrlC:
		return 0, io.EOF
	case len(k.ahead) > 0:
		n = copy(p, k.ahead)
		k.ahead = k.ahead[n:]
	default:
		n, err = k.Reader.Read(p)
	}
	if n, err = k.skip(p[:n], err); n > 0 {
		if at := bytes.IndexByte(p[:n], '\x03'); at >= 0 {
			k.ahead = append(bytes.Clone(p[at+1:n]), k.ahead...)
			p[at], n = clearKey, at+1
		}
	}
	return n, err
}

// skip removes from p the rest of a line that is too long.
func (k *keys) skip(p []byte, err error) (int, error) {
	n := len(p)
	if errors.Is(k.refused, protocol.ErrLineTooLong) {
		end := bytes.IndexAny(p[:n], "\r\n\x03")
		if end < 0 {
			return 0, err
		}
		n = copy(p, p[end:n])
	}
	return n, err
}

// typed is called for each key that edits nothing, with the line before it.
func (k *keys) typed(line string, pos int, key rune) (changed string, newPos int, ok bool) {
	const surrogates, afterSurrogates = 0xd800, 0xe000 // a Terminal's numbers for arrows and the like
	switch size := utf8.RuneLen(key); {
	case key == clearKey:
		*k.ctrlC = line == ""
		k.refused = nil
		return "", 0, true
	case key == '\t' && !strings.ContainsAny(line[:pos], " \t"):
		return k.verbs.complete(line, pos)
	case key == '\t':
		k.refused = errTab
	case key < ' ' || key >= surrogates && key < afterSurrogates:
	case len(line)+size+len("\r\n") > protocol.MaxLine:
		k.refused = protocol.ErrLineTooLong
		return line, pos, true
	case utf8.RuneCountInString(line) == maxTerminalLine:
		return line[:pos] + string(key) + line[pos:], pos + size, true
	}
	return "", 0, false
}

// line returns a line that was read, or why it can't be sent.
func (k *keys) line(line string, err error) (string, error) {
	refused := k.refused
	k.refused = nil
	if err == nil && refused != nil {
		return "", refused
	}
	return line, err
}
