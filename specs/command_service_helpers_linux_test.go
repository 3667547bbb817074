package specs

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/client"
)

// manager is a stand-in for systemd: it has the listening socket of a service, and gets its notifications.
type manager struct {
	cli    *cli
	addr   string
	socket *os.File      // the listening socket, which it passes
	notes  *net.UnixConn // the socket of notifications
	env    []string
}

// manage returns a manager of a service with alice and bob as its users.
func (c *cli) manage(ctx context.Context) *manager {
	GinkgoHelper()
	first := c.Serve(ctx) // it makes the state directory
	first.Stop(ctx)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	socket, err := l.(*net.TCPListener).File()
	Expect(err).NotTo(HaveOccurred())
	Expect(l.Close()).To(Succeed()) // socket is a duplicate
	path := filepath.Join(c.home, "notify")
	notes, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() {
		_ = socket.Close()
		_ = notes.Close()
	})
	return &manager{
		cli: c, addr: l.Addr().String(), socket: socket, notes: notes,
		env: []string{"NOTIFY_SOCKET=" + path, "STATE_DIRECTORY=" + first.state},
	}
}

// Start starts the service with the socket, as systemd does: the descriptor is 3, and $LISTEN_PID is the process.
func (m *manager) Start(args ...string) *gexec.Session {
	GinkgoHelper()
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" serve "$@"`, commandPath}, args...)...)
	cmd.Dir, cmd.ExtraFiles = m.cli.home, []*os.File{m.socket}
	cmd.Env = append(append(append([]string(nil), m.cli.env...), m.env...), "LISTEN_FDS=1")
	return begin("serve", cmd)
}

// Service starts the service, and returns when it is ready.
func (m *manager) Service(ctx context.Context, args ...string) *service {
	GinkgoHelper()
	s := &service{Session: m.Start(args...), cli: m.cli, state: m.cli.Path("state"), addr: m.addr}
	Expect(m.Note(ctx)).To(Equal("READY=1\nSTATUS=The seat is free"))
	return s
}

// Note returns the next notification of the service.
func (m *manager) Note(ctx context.Context) string {
	GinkgoHelper()
	deadline, _ := ctx.Deadline()
	Expect(m.notes.SetReadDeadline(deadline)).To(Succeed())
	buf := make([]byte, 4096)
	n, err := m.notes.Read(buf)
	Expect(err).NotTo(HaveOccurred())
	return string(buf[:n])
}

// dialerOf returns a client that trusts a CA.
func dialerOf(ca string) (*client.Dialer, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(ca)) {
		return nil, errors.New("no certificate")
	}
	return &client.Dialer{TLSConfig: &tls.Config{RootCAs: roots}}, nil
}

// past is a deadline that lets a read return what is there already.
var past = time.Unix(1, 0)
