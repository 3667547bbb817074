package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// Patience is how long a server has for anything. None needs nearly as much.
const Patience = 10 * time.Second

// hello is the greeting of a floor, and how the product's ends.
const hello = "\n"

// An Exchange is a request and its reply, as they are above TLS.
type Exchange struct{ Request, Reply []byte }

// A floor is a server that does only what no server can do without: it accepts, shakes hands, greets
// with one byte, answers with as many bytes as the product, and ends the connection in order.
type floor struct {
	// tls is nil for plain TCP.
	tls *tls.Config
	// talk is answered over and over, until the client leaves. Nil means that the client sends nothing.
	talk []Exchange
	// longest is the length of the longest request.
	longest int
	// record is written to log before each reply, unless log is nil.
	log    io.Writer
	record []byte
}

// start returns the address of the floor.
func (f floor) start(t T) string {
	t.Helper()
	if f.talk == nil {
		f.talk = []Exchange{{make([]byte, 1), nil}} // the client leaves instead
	}
	for _, e := range f.talk {
		f.longest = max(f.longest, len(e.Request))
	}
	return Serve(t, f.serve)
}

func (f floor) serve(raw *net.TCPConn) {
	defer raw.Close()
	// As the product does. It also sets TCP_USER_TIMEOUT, a system call more that counts against it here.
	_ = raw.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3})
	if f.tls == nil {
		_ = f.converse(raw)
		return
	}
	c := tls.Server(raw, f.tls)
	// The product ends a connection with close_notify, then FIN, then the client's FIN.
	if f.converse(c) == io.EOF && c.CloseWrite() == nil && raw.CloseWrite() == nil {
		_, _ = io.Copy(io.Discard, raw)
	}
}

// converse returns io.EOF when the client has left between two exchanges.
func (f floor) converse(c net.Conn) error {
	_, err := io.WriteString(c, hello)
	in := make([]byte, f.longest)
	for i := 0; err == nil; i++ {
		err = f.answer(c, f.talk[i%len(f.talk)], in)
	}
	return err
}

func (f floor) answer(c net.Conn, e Exchange, in []byte) error {
	_, err := io.ReadFull(c, in[:len(e.Request)])
	if err == nil && f.log != nil {
		_, err = f.log.Write(f.record)
	}
	if err == nil {
		_, err = c.Write(e.Reply)
	}
	return err
}

// Ask has the exchange with a server. It reads the reply into in.
func (e Exchange) Ask(c net.Conn, in []byte) error {
	if _, err := c.Write(e.Request); err != nil {
		return err
	}
	in = in[:len(e.Reply)]
	if _, err := io.ReadFull(c, in); err != nil {
		return err
	}
	if in[0] != e.Reply[0] || in[len(in)-1] != e.Reply[len(in)-1] {
		return fmt.Errorf("bench: answered %.60q", in)
	}
	return nil
}

// connect connects to a floor or to the product, with the calls of the product's client, and reads the
// greeting.
func connect(dialer *net.Dialer, addr string, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	defer cancel()
	raw, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	if err = c.HandshakeContext(ctx); err == nil {
		err = greeted(c)
	}
	if err != nil {
		_ = raw.Close()
	}
	return c, err
}

func greeted(c net.Conn) error {
	var buf [128]byte
	n, err := c.Read(buf[:])
	if err == nil && !bytes.HasSuffix(buf[:n], []byte(hello)) {
		err = fmt.Errorf("bench: greeted with %q", buf[:n])
	}
	return err
}

// leave ends a connection in order. The server sends the first FIN: TIME_WAIT is then on its side, and
// takes no port of the client's.
func leave(c *tls.Conn) error {
	if err := c.CloseWrite(); err != nil {
		return err
	}
	return WaitForEnd(c.NetConn())
}

// WaitForEnd waits until the server has ended a connection, and closes it.
func WaitForEnd(c net.Conn) error {
	defer c.Close()
	err := c.SetReadDeadline(time.Now().Add(Patience))
	if err == nil {
		_, err = io.Copy(io.Discard, c)
	}
	return err
}

// Serve serves each connection on a goroutine of its own, and returns the address.
func Serve(t T, handle func(*net.TCPConn)) (addr string) {
	t.Helper()
	l := Listen(t)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go handle(c.(*net.TCPConn))
		}
	}()
	return l.Addr().String()
}

// Listen returns a listener on a free port. Go's listeners set TCP_NODELAY, the product's as well.
func Listen(t T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Check(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// ServerTLS is what the product makes of such a certificate.
func ServerTLS(key testserver.Key) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{testserver.Certificate(key)}, MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol.ALPN}, DynamicRecordSizingDisabled: true,
	}
}

// ClientTLS is that of a client of the product that trusts this certificate.
func ClientTLS(key testserver.Key) *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(testserver.Certificate(key).Leaf)
	return &tls.Config{
		RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS13,
		NextProtos: []string{protocol.ALPN}, DynamicRecordSizingDisabled: true,
	}
}
