package peers

import (
	"io"
	"os"
	"path/filepath"

	"golang.org/x/crypto/ssh"

	"github.com/sallyport/sallyport/bench"
)

// opensshLogin is a login with an Ed25519 key, which is the only way in without
// the password of somebody whom the system knows, and a global request that every
// server refuses. OpenSSH executes itself anew for each connection, and sets no
// TCP_NODELAY before there is a session, nor can it be told to: most of its time it
// waits for the client's delayed acknowledgements, 40 ms each.
func (s *servers) opensshLogin(t bench.T) *bench.Rig {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "ssh", "user_key"))
	if err != nil {
		t.Fatalf("openssh: %v", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		t.Fatalf("openssh: %v", err)
	}
	peer := &sshPeer{s.OpenSSH, &ssh.ClientConfig{
		User: s.OpenSSHUser, Auth: []ssh.AuthMethod{ssh.PublicKeys(key)},
		HostKeyCallback: ssh.FixedHostKey(s.hostKey(t)), HostKeyAlgorithms: []string{ssh.KeyAlgoED25519},
	}}
	return bench.Visits(func() (io.Closer, error) {
		c, err := peer.dial()
		if err != nil {
			return nil, err
		}
		_, _, err = c.SendRequest("keepalive@openssh.com", true, nil)
		return c, err
	})
}

func (s *servers) hostKey(t bench.T) ssh.PublicKey {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, "ssh", "host_key.pub"))
	if err != nil {
		t.Fatalf("openssh: %v", err)
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey(text)
	if err != nil {
		t.Fatalf("openssh: %v", err)
	}
	return key
}
