package peers

import (
	"bytes"
	"context"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/specs/harness"
)

// closing prints how a connection ends after QUIT: closed by close_notify, or cut.
const closing = `
import ssl, sys, echo
smtp = echo.login(*sys.argv[1:], sys.stdin.readline().rstrip("\n"))
assert smtp.docmd("QUIT") == (221, b"bye")
try:
    print("closed" if smtp.file.read() == b"" else "data")
except ssl.SSLEOFError:
    print("cut")
`

// python runs Python with a password on its standard input and without installed packages (-S), because the
// scripts need the standard library alone. It returns what Python printed. The error has its complaint.
func python(ctx context.Context, password string, arguments ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-B", "-S"}, arguments...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(password+"\n"), &stdout, &stderr
	err := cmd.Run()
	if err != nil || stderr.Len() > 0 {
		err = fmt.Errorf("%w: %s", err, &stderr)
	}
	return stdout.String(), err
}

// caFile writes a certificate of testserver to a file.
func caFile(kind testserver.Key) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: testserver.Certificate(kind).Leaf.Raw}
	Expect(os.WriteFile(file, pem.EncodeToMemory(block), 0o600)).To(Succeed())
	return file
}

// address returns HOST PORT CA NAME, the first arguments of echo.py.
func address(addr, ca, name string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return []string{host, port, ca, name}
}

var _ = Describe("Python's smtplib, as in echo.py", Label("peer:smtplib", "rfc:4954", "rfc:5802"), func() {
	BeforeEach(func() { harness.Tool("python3") })

	// script runs echo.py. Without a mechanism it takes SCRAM-SHA-256-PLUS.
	script := func(ctx context.Context, addr, ca string, who account, mechanism ...string) (string, error) {
		arguments := append([]string{"echo.py"}, address(addr, ca, who.name)...)
		return python(ctx, who.password, append(append(arguments, "hello"), mechanism...)...)
	}

	DescribeTable("logs in and gets its text back", func(ctx SpecContext, who account, mechanism, binding string) {
		h := start(nil)
		h.Users.Set(who.prepared, who.verifier())
		Expect(script(ctx, h.Addr, caFile(testserver.ECDSA), who, mechanism)).To(Equal("hello\n"))
		Expect(loggedIn(h)).To(Equal([]string{who.prepared, mechanism, binding}))
		// The log of a connection may still be written when its client has gone.
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).Should(
			HaveExactElements(HaveKeyWithValue("reason", "quit")))
	},
		Entry("bound to the certificate", limit, Label("mech:plus", "rfc:5929"), alice, scram.SHA256Plus, scram.TypeServerEndPoint),
		Entry("with SCRAM-SHA-256", limit, Label("mech:plain"), alice, scram.SHA256, ""),
		Entry("with a name that has commas and equal signs", limit, Label("mech:plus"),
			accounts["a name with commas and equal signs"], scram.SHA256Plus, scram.TypeServerEndPoint),
	)

	It("trusts the CA that a server makes for itself", Label("mech:plus", "rfc:5929"), func(ctx SpecContext) {
		dir, now := GinkgoT().TempDir(), time.Now()
		Expect(certs.Ensure(dir, []string{"127.0.0.1"}, now)).To(Succeed())
		pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), now)
		Expect(err).NotTo(HaveOccurred())
		h := start(func(s *server.Server) { s.TLSConfig.Certificates[0] = pair })
		Expect(script(ctx, h.Addr, filepath.Join(dir, certs.CAFile), alice)).To(Equal("hello\n"))
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeServerEndPoint}))
	}, limit)

	DescribeTable("is refused", Label("control"), func(ctx SpecContext, mechanism ...string) {
		h := start(nil)
		out, err := script(ctx, h.Addr, caFile(testserver.ECDSA), mistaken, mechanism...)
		Expect(out).To(BeEmpty())
		Expect(err).To(MatchError(ContainSubstring("echo.py: (535, b'login-failed")))
		Expect(refusals(h)).To(Equal([]string{"wrong-proof"}))
	},
		Entry("with a wrong password", limit, Label("mech:plus")),
		Entry("with a wrong password and without binding", limit, Label("mech:plain"), scram.SHA256),
	)

	It("sends nothing to a server that it doesn't trust", Label("control"), func(ctx SpecContext) {
		h := start(nil)
		out, err := script(ctx, h.Addr, caFile(testserver.RSA), alice)
		Expect(out).To(BeEmpty())
		Expect(err).To(MatchError(ContainSubstring("CERTIFICATE_VERIFY_FAILED")))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("tls.fail") }).Should(HaveLen(1))
	}, limit)

	DescribeTable("judges a server of another make", func(ctx SpecContext, forge func(*lineServer), complaint string) {
		s := &lineServer{who: alice, stored: alice.xdgCredentials(), bind: ownCertificate}
		forge(s)
		out, err := script(ctx, s.run().addr, caFile(testserver.ECDSA), alice)
		if complaint == "" {
			Expect(out, err).To(Equal("hello\n"))
			return
		}
		Expect(out).To(BeEmpty())
		Expect(err).To(MatchError(ContainSubstring(complaint)))
	},
		Entry("that is honest", limit, func(*lineServer) {}, ""),
		Entry("that doesn't know the password", limit, Label("control"), forgeServerKey, "did not prove"),
		Entry("that asks for no proof and gives none", limit, Label("control"), func(s *lineServer) { s.hasty = true }, "did not prove"),
		Entry("that expects another binding", limit, Label("control"), func(s *lineServer) {
			s.bind = other(xdg.ChannelBindingTLSServerEndpoint)
		}, "(535,"),
	)

	DescribeTable("sees how the connection ends", func(ctx SpecContext, serve func() (addr string), end string) {
		arguments := append([]string{"-c", closing}, address(serve(), caFile(testserver.ECDSA), "alice")...)
		Expect(python(ctx, alice.password, arguments...)).To(Equal(end + "\n"))
	},
		Entry("with the close_notify of our server", limit, func() string { return start(nil).Addr }, "closed"),
		Entry("without, at a server that hangs up", limit, Label("control"), func() string {
			return (&lineServer{who: alice, stored: alice.xdgCredentials(), bind: ownCertificate, cut: true}).run().addr
		}, "cut"),
	)
})

// forgeServerKey makes a server whose own proof is wrong.
func forgeServerKey(s *lineServer) { s.stored.ServerKey = hashed("forged") }
