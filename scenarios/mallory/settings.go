package mallory

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
)

// Role is whom Mallory plays.
type Role string

// The roles: a client, a server, or one to the other and the other to the one.
const (
	Client Role = "client"
	Server Role = "server"
	Middle Role = "middle"
)

// settings are what the header of a transcript asks for; see fixtures/README.md.
type settings struct {
	roles                 []Role
	user, password        string // empty: alice, and the right one
	mechanism             string
	nonce                 string // the client's; empty: a random one
	firstBinding          bool   // every login is bound to the first connection
	holder                string // has the seat before anything is said
	raw                   bool   // no TLS
	version               uint16 // of TLS
	alpn                  []string
	certificate           string // what is wrong with it
	admission             server.Admission
	limits                server.Limits
	requireBinding        bool
	serverVersion         uint16
	noWait                bool          // the honest client does not
	request               string        // that it sends though the transcript doesn't say so
	patience, clientLogin time.Duration // of the honest client, as a whole and with the login
	detail                string        // of the log's tls.fail
	requests              int           // that the log must have; -1: any number
}

var versions = map[string]uint16{
	"1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13,
}

func newSettings(t fixtures.Transcript) (settings, error) {
	s := settings{
		user: "alice", mechanism: scram.SHA256Plus, version: tls.VersionTLS13, requests: -1,
		alpn: []string{protocol.ALPN},
	}
	switch t.Victim {
	case "server":
		s.roles = []Role{Client}
	case "client":
		s.roles = []Role{Server}
	default:
		s.roles = []Role{Client, Server}
	}
	var wait time.Duration
	for key, value := range t.Settings {
		err := s.set(key, value)
		if key == "queue-wait" {
			wait, err = time.ParseDuration(value)
		}
		if err != nil {
			return s, fmt.Errorf("%s: setting %q: %w", t.Name, key, err)
		}
	}
	if s.admission == nil {
		s.admission = server.Queue{Wait: wait}
	}
	return s, nil
}

func (s *settings) set(key, value string) (err error) {
	switch key {
	case "play":
		s.roles, err = []Role{Role(value)}, known(value, "client", "server", "middle")
	case "user":
		s.user = value
	case "password":
		s.password = value
	case "mechanism":
		s.mechanism = value
	case "nonce":
		s.nonce = value
	case "binding":
		s.firstBinding, err = true, known(value, "first")
	case "holder":
		s.holder = value
	case "detail":
		s.detail = value
	case "requests":
		s.requests, err = strconv.Atoi(value)
	default:
		return s.setConnection(key, value)
	}
	return err
}

func (s *settings) setConnection(key, value string) (err error) {
	switch key {
	case "tls":
		s.version, s.raw = versions[value], value == "none"
		err = known(value, "none", "1.1", "1.2", "1.3")
	case "alpn":
		if s.alpn = strings.Fields(value); value == "none" {
			s.alpn = nil
		}
	case "certificate":
		s.certificate, err = value, known(value, "expired", "not-yet-valid", "wrong-name", "unknown-ca", "wrong-usage")
	case "server-tls":
		s.serverVersion, err = versions[value], known(value, "1.2", "1.3")
	case "require-binding":
		s.requireBinding, err = true, known(value, "yes")
	case "admission":
		policies := map[string]server.Admission{"reject": server.Reject{}, "takeover": server.Takeover{}}
		s.admission, err = policies[value], known(value, "reject", "takeover")
	case "login-timeout":
		s.limits.Login, err = time.ParseDuration(value)
		s.clientLogin = s.limits.Login
	case "no-wait":
		s.noWait, err = true, known(value, "yes")
	case "request":
		s.request = value
	case "patience":
		s.patience, err = time.ParseDuration(value)
	case "queue-wait": // belongs to the admission
	default:
		err = errors.New("there is no such setting")
	}
	return err
}

func known(value string, all ...string) error {
	if !slices.Contains(all, value) {
		return fmt.Errorf("%q is none of %q", value, all)
	}
	return nil
}

// Configure sets up a server as the transcript wants it: with room in the lobby
// for as many connections as Mallory makes and no more, so that a place that she
// keeps is missed.
func (w *Wire) Configure(s *server.Server) {
	s.Admission, s.Limits = w.set.admission, w.set.limits
	s.Limits.Lobby = cmp.Or(w.Connections(), 1)
	s.Limits.LobbyPerSource = s.Limits.Lobby
	s.RequireBinding = w.set.requireBinding
	s.TLSConfig = s.TLSConfig.Clone()
	s.TLSConfig.MinVersion = w.set.serverVersion
}

// Connections is how many connections Mallory makes, one after the other.
func (w *Wire) Connections() int {
	n := 1
	for _, line := range w.Lines {
		if line.Kind == fixtures.Deed && (line.Text == "again" || line.Text == "resume") {
			n++
		}
	}
	return n
}
