package probe

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// A peer's words must not look like lines of the program.
func TestPeersWordsStayOnTheirLine(t *testing.T) {
	t.Parallel()
	for name, err := range map[string]error{
		"SMTP":       refusedToServe("5\n\x1b", []string{"no\nall passed"}, nil),
		"PostgreSQL": refusedByPostgres(t, "2\n8", "no\nall \x1b[32mpassed"),
	} {
		if err == nil || strings.ContainsAny(err.Error(), "\n\x1b") || !strings.Contains(err.Error(), `no\nall`) {
			t.Errorf("%s: %q", name, err)
		}
	}
}

// refusedByPostgres returns the error of a session that a server refuses in these words.
func refusedByPostgres(t *testing.T, code, message string) error {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 8)) // SSLRequest
		_, _ = far.Write([]byte("N"))
		_, _ = far.Read(make([]byte, 1<<10))
		text, _ := (&pgproto3.ErrorResponse{Code: code, Message: message}).Encode(nil)
		_, _ = far.Write(text)
	}()
	l := newLink(near, nil, 5*time.Second)
	defer l.Close()
	_, err := (&postgresCaller{user: "alice"}).Open(l)
	return err
}
