package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// sshRequest is an echo through an open channel, which is how SSH carries what an application says. A
// global request with a reply takes a tenth to a sixth longer.
func sshRequest(t bench.T) *bench.Rig {
	c, raw, err := newSSH(t).dial()
	bench.Check(t, err)
	t.Cleanup(func() { _ = raw.Close() })
	bench.Check(t, raw.SetDeadline(time.Time{})) // the connection stays
	channel, requests, err := c.OpenChannel("echo", nil)
	bench.Check(t, err)
	go ssh.DiscardRequests(requests)
	got := make([]byte, payload)
	return echoes(func() ([]byte, error) {
		if _, err := channel.Write(sent); err != nil {
			return nil, err
		}
		_, err := io.ReadFull(channel, got)
		return got, err
	})
}

// sshLogin is connection, key exchange, the user's password, and a request.
func sshLogin(t bench.T) *bench.Rig { return newSSH(t).logins() }

// opensshLogin is the same with an Ed25519 key: a password would have to be one of the system's. OpenSSH
// executes itself anew for each connection, and sets no TCP_NODELAY before there is a session: most of
// its time it waits for the client's delayed acknowledgements, 40 ms each.
func (s servers) opensshLogin(t bench.T) *bench.Rig {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "openssh", "user_key"))
	bench.Check(t, err)
	key, err := ssh.ParsePrivateKey(text)
	bench.Check(t, err)
	text, err = os.ReadFile(filepath.Join(s.dir, "openssh", "host_key.pub"))
	bench.Check(t, err)
	host, _, _, _, err := ssh.ParseAuthorizedKey(text)
	bench.Check(t, err)
	return newSSHClient(s.addrs["openssh"], "sshd", ssh.PublicKeys(key), host).logins()
}

// An sshClient dials a server of SSH. Hybrid key exchange and AES-128-GCM are the package's defaults,
// and an Ed25519 host key is the fastest.
type sshClient struct {
	addr   string
	config *ssh.ClientConfig
}

func newSSHClient(addr, user string, auth ssh.AuthMethod, host ssh.PublicKey) sshClient {
	return sshClient{addr, &ssh.ClientConfig{
		User: user, Auth: []ssh.AuthMethod{auth},
		HostKeyCallback: ssh.FixedHostKey(host), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}}
}

// newSSH starts a server of x/crypto/ssh in this process. It compares the password and hashes nothing.
func newSSH(t bench.T) sshClient {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	bench.Check(t, err)
	host, err := ssh.NewSignerFromKey(key)
	bench.Check(t, err)
	password := testserver.Password("alice")
	config := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
		if subtle.ConstantTimeCompare(given, []byte(password)) == 0 {
			return nil, errors.New("ssh: wrong password")
		}
		return nil, nil
	}}
	config.AddHostKey(host)
	addr := bench.Serve(t, func(raw *net.TCPConn) { serveSSH(raw, config) })
	return newSSHClient(addr, "alice", ssh.Password(password), host.PublicKey())
}

func serveSSH(raw net.Conn, config *ssh.ServerConfig) {
	defer raw.Close()
	_, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests) // which refuses them
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		go func() { _, _ = io.Copy(channel, channel) }()
	}
}

// dial does without ssh.Client, whose goroutines a login would pay for.
func (s sshClient) dial() (ssh.Conn, *net.TCPConn, error) {
	raw, err := net.DialTimeout("tcp", s.addr, bench.Patience)
	if err != nil {
		return nil, nil, err
	}
	_ = raw.SetDeadline(time.Now().Add(bench.Patience))
	c, _, requests, err := ssh.NewClientConn(raw, s.addr, s.config)
	if err != nil {
		return nil, nil, errors.Join(err, raw.Close())
	}
	go ssh.DiscardRequests(requests)
	return c, raw.(*net.TCPConn), nil
}

// logins end with a request that every server refuses. It is left to the server to end the connection,
// so that it is known to be done.
func (s sshClient) logins() *bench.Rig {
	return bench.Connections(func() (func() error, error) {
		c, raw, err := s.dial()
		if err == nil {
			_, _, err = c.SendRequest("keepalive@openssh.com", true, nil)
		}
		return func() error {
			defer raw.Close()
			if err := raw.CloseWrite(); err != nil {
				return err
			}
			if err := c.Wait(); errors.Is(err, os.ErrDeadlineExceeded) {
				return err
			}
			return nil
		}, err
	})
}
