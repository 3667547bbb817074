package mallory

import (
	"crypto/tls"
	"crypto/x509"

	"github.com/sallyport/sallyport/protocol/scram"
)

// Role is whom Mallory plays.
type Role string

// The roles: a client, a server, or one to the other and the other to the one.
const (
	Client Role = "client"
	Server Role = "server"
	Middle Role = "middle"
)

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
