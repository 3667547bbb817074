package peers

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/specs/harness"
)

// sshRequest is an echo through an open channel, which is how SSH carries what an
// application says. A global request is the only one of SSH's own whose reply
// carries octets; it takes a tenth to a sixth longer.
func sshRequest(t bench.T) *bench.Rig {
	c, err := newSSH(t).dial()
	if err != nil {
		t.Fatalf("ssh: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.raw.SetDeadline(time.Time{}); err != nil { // it stays
		t.Fatalf("ssh: %v", err)
	}
	channel, requests, err := c.OpenChannel("echo", nil)
	if err != nil {
		t.Fatalf("ssh: %v", err)
	}
	go ssh.DiscardRequests(requests)
	got := make([]byte, payload)
	return &bench.Rig{Step: timed(func() error { return through(channel, got) })}
}

func through(channel ssh.Channel, got []byte) error {
	if _, err := channel.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(channel, got); err != nil {
		return err
	}
	if !same(got) {
		return errors.New("ssh: not echoed")
	}
	return nil
}

// sshLogin is connection, key exchange, the user's password, and a request.
func sshLogin(t bench.T) *bench.Rig {
	s := newSSH(t)
	return bench.Visits(func() (io.Closer, error) {
		c, err := s.dial()
		if err != nil {
			return nil, err
		}
		return c, c.echo()
	})
}

// sshPeer is a server of x/crypto/ssh in this process, with the package's
// defaults: the hybrid key exchange, as the product's, and AES-128-GCM, which is
// its fastest. An Ed25519 host key is the fastest, too. The password is compared,
// not hashed: that is all that the server does to check it.
type sshPeer struct {
	addr string
	auth *ssh.ClientConfig
}

func newSSH(t bench.T) *sshPeer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	host, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatalf("key: %v", err)
	}
	l := bench.Listen(t)
	config := &ssh.ServerConfig{PasswordCallback: checkPassword}
	config.AddHostKey(host)
	go serveSSH(l, config)
	return &sshPeer{l.Addr().String(), &ssh.ClientConfig{
		User: "alice", Auth: []ssh.AuthMethod{ssh.Password(harness.Password("alice"))},
		HostKeyCallback: ssh.FixedHostKey(host.PublicKey()), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}}
}

func checkPassword(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
	if subtle.ConstantTimeCompare(password, []byte(harness.Password("alice"))) == 0 {
		return nil, errors.New("no such password")
	}
	return nil, nil
}

func serveSSH(l net.Listener, config *ssh.ServerConfig) {
	for {
		raw, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer raw.Close()
			_, channels, requests, err := ssh.NewServerConn(raw, config)
			if err != nil {
				return
			}
			go echoChannels(channels)
			for r := range requests {
				if r.Reply(true, r.Payload) != nil {
					return
				}
			}
		}()
	}
}

func echoChannels(channels <-chan ssh.NewChannel) {
	for c := range channels {
		channel, requests, err := c.Accept()
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		go echoChannel(channel)
	}
}

// echoChannel answers once a message is whole.
func echoChannel(channel ssh.Channel) {
	message := make([]byte, payload)
	for {
		if _, err := io.ReadFull(channel, message); err != nil {
			return
		}
		if _, err := channel.Write(message); err != nil {
			return
		}
	}
}

// refuse is for a client, to whom nobody opens channels.
func refuse(channels <-chan ssh.NewChannel) {
	for c := range channels {
		_ = c.Reject(ssh.Prohibited, "not here")
	}
}

// sshConn is a client's end.
type sshConn struct {
	ssh.Conn
	raw *net.TCPConn
}

// Close leaves it to the server to end the connection, so that it is known to be
// done.
func (c *sshConn) Close() error {
	defer c.raw.Close()
	if err := c.raw.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := c.raw.CloseWrite(); err != nil {
		return err
	}
	if err := c.Wait(); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// dial does without ssh.Client, whose goroutines a login would pay for.
func (s *sshPeer) dial() (*sshConn, error) {
	raw, err := net.DialTimeout("tcp", s.addr, patience)
	if err != nil {
		return nil, err
	}
	if err := raw.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, errors.Join(err, raw.Close())
	}
	c, channels, requests, err := ssh.NewClientConn(raw, s.addr, s.auth)
	if err != nil {
		raw.Close()
		return nil, err
	}
	go refuse(channels)
	go ssh.DiscardRequests(requests)
	return &sshConn{c, raw.(*net.TCPConn)}, nil
}

func (c *sshConn) echo() error {
	ok, got, err := c.SendRequest("echo", true, sent)
	if err == nil && (!ok || !same(got)) {
		err = errors.New("ssh: not echoed")
	}
	return err
}
