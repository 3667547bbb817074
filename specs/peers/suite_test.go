// Package peers tests Sallyport with other implementations: xdg-go/scram and gsasl as clients and servers of both
// mechanisms, go-mail, Python's smtplib and native.py, which was made from protocol/README.md, as clients, openssl
// s_client as the other end of TLS, PostgreSQL and gsasl as makers and users of verifiers. The prober judges PostgreSQL,
// Dovecot, Prosody, psql, pgx, xdg-go/scram and go-mail. It is a module of its own, so that the product doesn't depend
// on them. Labels name the peer (peer:xdg), the mechanism (mech:plus), the RFC (rfc:9266), and the promise and the
// case of the login battery as in the main suite.
//
// A spec whose tool is not installed is skipped, unless SALLYPORT_NEED names it:
// SALLYPORT_NEED=dovecot,prosody,gsasl,openssl,postgres,python3 as in CI.
package peers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

func TestPeers(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Sallyport's peers")
}

const limit = harness.Limit

var (
	_ = harness.NoLeaks()
	_ = harness.CountLabels()
)

var _ = BeforeSuite(func() {
	// With an unknown name nothing would ever fail.
	for _, tool := range harness.Needed() {
		Expect(tool).To(BeElementOf("dovecot", "gsasl", "openssl", "postgres", "promtool", "prosody", "python3", "tshark", "xmllint"), "in SALLYPORT_NEED")
	}
})

// start runs our server for this spec.
func start(configure func(*server.Server)) *harness.H { return harness.Serve(configure) }

// account is a user that both sides know.
type account struct {
	name, prepared string
	password       string
	salt           string
	iterations     int
}

var alice = account{"alice", "alice", testserver.Password("alice"), "salt of alice", scram.MinIterations}

// accounts have names, passwords and salts that SCRAM treats differently.
var accounts = map[string]account{
	"a plain name":                       alice,
	"a name with commas and equal signs": {"a,b=c,=2C=", "a,b=c,=2C=", "p,=w", "0123456789abcdef", scram.MinIterations},
	"a name that SASLprep changes":       {"I\u00adX\u00a0\u2168", "IX IX", "\u00aa\u2003pass\u00adword", "0123456789abcdef", scram.MinIterations},
	"a short salt":                       {"bob", "bob", "secret", "s", scram.MinIterations},
	"a long salt":                        {"carol", "carol", "secret", string(make([]byte, 1000)), scram.MinIterations},
	"more iterations":                    {"dave", "dave", "secret", "0123456789abcdef", 10_001},
}

// dial makes a TLS connection without ALPN, so that the server sends no notices.
func dial(ctx context.Context, addr string, roots *x509.CertPool, maxVersion uint16) *tls.Conn {
	GinkgoHelper()
	dialer := tls.Dialer{Config: &tls.Config{RootCAs: roots, MaxVersion: maxVersion}}
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = conn.Close() }) // it may be closed by then
	deadline, _ := ctx.Deadline()
	Expect(conn.SetDeadline(deadline)).To(Succeed())
	return conn.(*tls.Conn)
}

// allow12 lets a server accept TLS 1.2.
func allow12(s *server.Server) { s.TLSConfig.MinVersion = tls.VersionTLS12 }

// loggedIn returns the user, mechanism and binding of the only login in the log.
func loggedIn(h *harness.H) []string {
	GinkgoHelper()
	records := h.Log.Records("login.ok")
	Expect(records).To(HaveLen(1))
	return []string{records[0].Str("user"), records[0].Str("mechanism"), records[0].Str("binding")}
}

// refusals returns the reasons of all logins in the log, which must have failed.
func refusals(h *harness.H) (reasons []string) {
	GinkgoHelper()
	Expect(h.Log.Records("login.ok")).To(BeEmpty())
	for _, r := range h.Log.Records("login.fail") {
		reasons = append(reasons, r.Str("reason"))
	}
	return reasons
}
