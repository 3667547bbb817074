package stream

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/protocol"
)

// TestPanic: a fault of this package ends the stream, and not the program, which may have to give a terminal back.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := &Stream{joined: make(chan struct{})} // without a window
	close(s.joined)
	err := s.receive(protocol.Reply{Code: protocol.CodeTaken, Text: "1"}, nil)
	if err == nil || !strings.HasPrefix(err.Error(), "stream: panic: ") {
		t.Error(err)
	}
}
