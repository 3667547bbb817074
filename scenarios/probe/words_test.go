package probe

import (
	"io"
	"net"
	"os"
	"strings"
	"syscall"
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

// A report names the product, which servers announce in different places.
func TestProduct(t *testing.T) {
	t.Parallel()
	imap := &imapCaller{}
	offer, _ := imap.Open(feed(t, "* OK [CAPABILITY IMAP4rev1] Mailserver 3 ready.\r\n"))
	if offer.Banner != "Mailserver 3 ready." {
		t.Errorf("IMAP: %q", offer.Banner)
	}
	c := &postgresCaller{user: "alice"}
	l := postgresThatSends(t, &pgproto3.AuthenticationSASL{AuthMechanisms: []string{"SCRAM-SHA-256"}},
		&pgproto3.AuthenticationOk{}, &pgproto3.ParameterStatus{Name: "TimeZone"}, &pgproto3.ParameterStatus{Name: "server_version", Value: "17.1"})
	if _, err := c.Open(l); err != nil {
		t.Fatal(err)
	}
	if a, err := c.Start("SCRAM-SHA-256", []byte("n,,")); err != nil || a.Product != "PostgreSQL 17.1" {
		t.Errorf("PostgreSQL: %+v, %v", a, err)
	}
}

// An error of the stream (RFC 6120 §4.9) is a refusal: a server sends it for a message that is too long.
func TestStreamError(t *testing.T) {
	t.Parallel()
	c := &xmppCaller{domain: "example.test"}
	_, err := c.Open(feed(t, `<stream:stream><stream:features/><stream:error><policy-violation/><text>too long</text></stream:error>`))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Start("SCRAM-SHA-256", []byte("n,,")); err != nil || a.Kind != Refusal || a.Words != "policy-violation too long" {
		t.Errorf("%+v, %v", a, err)
	}
}

// The message is the same for a connection that is not accepted in time as for any other wait.
func TestTimeoutOfDial(t *testing.T) {
	t.Parallel()
	if text := plainly(&net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNRESET}); text != errEnd.Error() {
		t.Error(text)
	}
	if text := plainly(&net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}); text != errHang.Error() {
		t.Error(text)
	}
}

// postgresThatSends returns a link to a server that sends these messages. It ignores its input.
func postgresThatSends(t *testing.T, messages ...pgproto3.BackendMessage) *Link {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _ = far.Close() })
	text := []byte("N")
	for _, m := range messages {
		var err error
		if text, err = m.Encode(text); err != nil {
			t.Fatal(err)
		}
	}
	go func() {
		_, _ = io.ReadFull(far, make([]byte, 8)) // SSLRequest
		_, _ = far.Write(text[:1])
		go func() { _, _ = io.Copy(io.Discard, far) }()
		_, _ = far.Write(text[1:])
	}()
	l := newLink(near, nil, 5*time.Second)
	t.Cleanup(l.Close)
	return l
}

// refusedByPostgres returns the error of a session that a server refuses in these words.
func refusedByPostgres(t *testing.T, code, message string) error {
	t.Helper()
	l := postgresThatSends(t, &pgproto3.ErrorResponse{Code: code, Message: message})
	_, err := (&postgresCaller{user: "alice"}).Open(l)
	return err
}
