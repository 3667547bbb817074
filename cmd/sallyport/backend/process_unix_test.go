//go:build unix

package backend

import (
	"io"
	"os"
	"path/filepath"
	"testing"
)

// A command that closes its output early is no end: it may still read its input.
func TestOutputClosedEarly(t *testing.T) {
	got := filepath.Join(t.TempDir(), "got")
	b, err := Parse("exec:exec 1>&-; sleep 0.5; cat >"+got, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.Stderr = io.Discard
	c, err := b.Open(t.Context(), Client{User: "alice", Conn: "1"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "all of it"); err != nil {
		t.Fatal(err)
	}
	if err := c.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	if text, err := os.ReadFile(got); string(text) != "all of it" {
		t.Errorf("when the command has ended it has read %q, %v", text, err)
	}
}
