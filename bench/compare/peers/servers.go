package peers

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// servers are the peers that servers.sh has started, and how to reach them.
type servers struct {
	dir string
	// Where they listen: HOST:PORT.
	Postgres, Redis, Dovecot, OpenSSH string
	// Who logs in, and the one who does at OpenSSH.
	User, OpenSSHUser string

	password string
	roots    *x509.CertPool
}

// running reads what servers.sh has written; without a folder there is nothing.
func running(dir string) (*servers, error) {
	if dir == "" {
		return nil, nil
	}
	s := &servers{dir: dir, roots: x509.NewCertPool()}
	text, err := os.ReadFile(filepath.Join(dir, "servers.json"))
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, err
	}
	password, err := os.ReadFile(filepath.Join(dir, "password"))
	if err != nil {
		return nil, err
	}
	s.password = strings.TrimSuffix(string(password), "\n")
	ca, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
	if err == nil && !s.roots.AppendCertsFromPEM(ca) {
		err = errors.New("no certificate in ca.pem")
	}
	return s, err
}

// tls trusts the servers alone. OpenSSL 3.0, with which they are made, knows no
// hybrid key exchange: the client would make a key for nothing, or have to ask
// twice. So it offers what the server takes, which is less work than the product's.
func (s *servers) tls(curve tls.CurveID) *tls.Config {
	return &tls.Config{
		RootCAs: s.roots, ServerName: "localhost", MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{curve},
	}
}

// patience is how long a server has for anything, and is far more than any needs.
const patience = 10 * time.Second

// dialTLS gives it that long for all that is done with the connection.
func dialTLS(addr string, config *tls.Config) (*tls.Conn, error) {
	deadline := time.Now().Add(patience)
	c, err := tls.DialWithDialer(&net.Dialer{Deadline: deadline}, "tcp", addr, config)
	if err != nil {
		return nil, err
	}
	return c, c.SetDeadline(deadline)
}

// endpoint takes apart where a server listens.
func (s *servers) endpoint(t bench.T, addr string) (host string, port uint16) {
	t.Helper()
	parsed, err := netip.ParseAddrPort(addr)
	if err != nil {
		t.Fatalf("servers.json: %v", err)
	}
	return parsed.Addr().String(), parsed.Port()
}
