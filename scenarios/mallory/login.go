package mallory

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// login is Mallory's end of a SCRAM conversation, in which she makes no mistake:
// what a transcript breaks shall be the only thing that is broken.
type login interface {
	// take takes a message of the other end and gives her answer to symbols.
	take(ctx context.Context, name string, symbols fixtures.Symbols) error
}

// set stores a message as it goes over the wire.
func set(symbols fixtures.Symbols, name string, message []byte, err error) error {
	symbols[name] = base64.StdEncoding.EncodeToString(message)
	return err
}

func message(symbols fixtures.Symbols, name string) ([]byte, error) {
	return base64.StdEncoding.Strict().DecodeString(symbols[name])
}

// forget has the symbols of an earlier login learned anew.
func forget(symbols fixtures.Symbols, names ...string) {
	for _, name := range names {
		delete(symbols, name)
	}
}

type clientLogin struct{ *scram.Client }

// newClientLogin begins a login on a connection.
func (r *replay) newClientLogin(conn *tls.Conn) error {
	config := scram.ClientConfig{
		Username: r.set.user, Password: cmp.Or(r.set.password, r.rig.Password(r.set.user)),
		Mechanism: r.set.mechanism, Keys: r.rig.Keys,
	}
	if r.set.nonce != "" {
		nonce, err := base64.StdEncoding.DecodeString(r.set.nonce)
		if err != nil {
			return err
		}
		config.Rand = bytes.NewReader(nonce)
	}
	if r.set.mechanism == scram.SHA256Plus {
		binding, err := bindingOf(conn)
		if err != nil {
			return err
		}
		if r.set.firstBinding && r.binding.Type != "" {
			binding = r.binding
		}
		config.Binding, r.binding = binding, binding
	}
	conversation, err := scram.NewClient(config)
	if err != nil {
		return err
	}
	forget(r.symbols, "server-first", "client-final", "server-final")
	r.login = clientLogin{conversation}
	first, err := conversation.First()
	return set(r.symbols, "client-first", first, err)
}

func bindingOf(conn *tls.Conn) (scram.ChannelBinding, error) {
	state := conn.ConnectionState()
	if state.Version < tls.VersionTLS13 {
		return scram.TLSServerEndPoint(state.PeerCertificates[0])
	}
	return scram.TLSExporter(state.ExportKeyingMaterial)
}

// Bindings are the data of a connection by the type of the binding, as far as it
// has them; certificate is the server's.
func Bindings(conn *tls.Conn, certificate *x509.Certificate) map[string][]byte {
	state, all := conn.ConnectionState(), map[string][]byte{}
	if b, err := scram.TLSExporter(state.ExportKeyingMaterial); err == nil {
		all[b.Type] = b.Data
	}
	if b, err := scram.TLSServerEndPoint(certificate); err == nil {
		all[b.Type] = b.Data
	}
	return all
}

func (l clientLogin) take(ctx context.Context, name string, symbols fixtures.Symbols) error {
	heard, err := message(symbols, name)
	switch {
	case err != nil:
		return err
	case name == "server-final":
		return l.Verify(heard)
	case name != "server-first":
		return nil
	}
	final, err := l.Final(ctx, heard)
	return set(symbols, "client-final", final, err)
}

type serverLogin struct{ *scram.Server }

func (r *replay) newServerLogin(conn *tls.Conn, pair tls.Certificate) error {
	config := scram.ServerConfig{Mechanism: r.set.mechanism, Lookup: r.rig.Users.Lookup, PlusOffered: true}
	if r.set.mechanism == scram.SHA256 {
		config.PlusOffered = false
	}
	state := conn.ConnectionState()
	binding, err := scram.TLSServerEndPoint(pair.Leaf)
	if state.Version >= tls.VersionTLS13 {
		binding, err = scram.TLSExporter(state.ExportKeyingMaterial)
	}
	config.Bindings = []scram.ChannelBinding{binding}
	r.login = serverLogin{scram.NewServer(config)}
	return err
}

func (l serverLogin) take(_ context.Context, name string, symbols fixtures.Symbols) error {
	heard, err := message(symbols, name)
	if err != nil {
		return err
	}
	switch name {
	case "client-first":
		first, err := l.First(heard)
		return set(symbols, "server-first", first, err)
	case "client-final":
		final, err := l.Final(heard)
		return set(symbols, "server-final", final, err)
	}
	return nil
}

// requests are what the honest client is to send once it has the seat.
func (w *Wire) requests() (lines []string) {
	done := false
	for _, line := range w.Lines {
		if line.From != 'C' || line.Kind != fixtures.Honest {
			continue
		}
		if done {
			lines = append(lines, line.Text)
		}
		done = done || line.Text == "" // the end of the login
	}
	if w.set.request != "" {
		lines = append(lines, w.set.request)
	}
	return lines
}
