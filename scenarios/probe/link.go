package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/scenarios/mallory"
)

// Bounds on what a peer may send.
const (
	maxLine  = 64 << 10
	maxLines = 200     // of one answer
	maxBytes = 4 << 20 // of one exchange
)

// Errors of a link. Other errors come from TLS and from the system.
var (
	errEnd   = errors.New("the peer ended the connection")
	errHang  = errors.New("the peer did not answer in time")
	errFlood = errors.New("the peer sent more than a login needs")
	errWords = errors.New("the peer does not speak the protocol")
)

// A Link is the connection to one peer under test. Each read and each write has a deadline, and the input from the peer
// is bounded.
type Link struct {
	conn    net.Conn // nil for the pipes of a process
	in      *bufio.Reader
	out     io.Writer
	bounded *io.LimitedReader
	timeout time.Duration
	secure  *tls.Conn
	// config is the configuration of the prober's side.
	config  *tls.Config
	serving bool
	// bindings are the channel bindings of a process, which has no TLS.
	bindings map[string][]byte
	files    []*os.File
}

func newLink(conn net.Conn, config *tls.Config, timeout time.Duration) *Link {
	l := &Link{conn: conn, config: config, timeout: timeout}
	l.carry(conn)
	return l
}

// pipes makes a link of the pipes of a process, whose end bounds each wait.
func pipes(in io.Reader, out io.Writer) *Link {
	l := &Link{out: out}
	l.bounded = &io.LimitedReader{R: in, N: maxBytes}
	l.in = bufio.NewReaderSize(l.bounded, 4096)
	return l
}

func (l *Link) carry(conn net.Conn) {
	l.bounded = &io.LimitedReader{R: conn, N: maxBytes}
	l.in, l.out = bufio.NewReaderSize(l.bounded, 4096), conn
}

// arm bounds the next read or write.
func (l *Link) arm() {
	deadline := time.Now().Add(l.timeout)
	if l.conn != nil {
		_ = l.conn.SetDeadline(deadline)
	}
	for _, f := range l.files {
		_ = f.SetDeadline(deadline) // a pipe without deadlines: the end of the process bounds the wait
	}
}

// fault turns an error of a connection into one of a link. The end of the context closes a connection that lasts too
// long as a whole, such as that of a peer that sends a byte now and then.
func (l *Link) fault(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, net.ErrClosed), errors.Is(err, context.DeadlineExceeded):
		return errHang
	case l.bounded.N <= 0:
		return errFlood
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errEnd
	}
	return err
}

// Read reads at least one byte, for dialects without lines.
func (l *Link) Read(p []byte) (int, error) {
	l.arm()
	n, err := l.in.Read(p)
	return n, l.fault(err)
}

// ReadByte reads one byte.
func (l *Link) ReadByte() (byte, error) {
	l.arm()
	b, err := l.in.ReadByte()
	return b, l.fault(err)
}

// Write writes bytes.
func (l *Link) Write(p []byte) (int, error) {
	l.arm()
	n, err := l.out.Write(p)
	return n, l.fault(err)
}

// Line reads a line, and returns it without its end.
func (l *Link) Line() (string, error) {
	l.arm()
	var line []byte
	for {
		part, err := l.in.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case len(line) > maxLine:
			return "", errFlood
		case err == nil:
			return strings.TrimRight(string(line), "\r\n"), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return "", l.fault(err)
		}
	}
}

// Send writes lines, each with CRLF.
func (l *Link) Send(lines ...string) error {
	_, err := l.Write([]byte(strings.Join(lines, "\r\n") + "\r\n"))
	return err
}

// Upgrade begins TLS. It fails if the peer has already sent more, because plain text must not count as a part of the
// private conversation.
func (l *Link) Upgrade() error {
	if l.in.Buffered() > 0 {
		return fmt.Errorf("%w: it sends on in the clear where TLS must begin", errWords)
	}
	if l.conn == nil || l.config == nil {
		return fmt.Errorf("%w: it wants TLS here", errWords)
	}
	if l.serving {
		l.secure = tls.Server(l.conn, l.config)
	} else {
		l.secure = tls.Client(l.conn, l.config)
	}
	l.arm()
	ctx, cancel := context.WithTimeout(context.Background(), l.timeout)
	defer cancel()
	if err := l.secure.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("TLS: %w", l.fault(err))
	}
	l.carry(l.secure)
	return nil
}

// TLS returns the state of TLS. Nil means that the link has no TLS.
func (l *Link) TLS() *tls.ConnectionState {
	if l.secure == nil {
		return nil
	}
	state := l.secure.ConnectionState()
	return &state
}

// Bindings returns the channel bindings of the connection by type.
func (l *Link) Bindings() map[string][]byte {
	if l.secure == nil {
		return l.bindings
	}
	state := l.secure.ConnectionState()
	var certificate *x509.Certificate
	if l.serving {
		certificate = l.config.Certificates[0].Leaf
	} else {
		certificate = state.PeerCertificates[0]
	}
	all := mallory.Bindings(l.secure, certificate)
	if len(state.TLSUnique) > 0 {
		all["tls-unique"] = state.TLSUnique
	}
	return all
}

// Close ends the connection.
func (l *Link) Close() {
	if l.secure != nil {
		_ = l.secure.SetWriteDeadline(time.Now().Add(time.Second))
		_ = l.secure.Close()
	}
	if l.conn != nil {
		_ = l.conn.Close()
	}
	for _, f := range l.files {
		_ = f.Close()
	}
}
