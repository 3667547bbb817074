package peers

import (
	"bytes"
	"context"
	"encoding/pem"
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

// closing reports how a connection ends after QUIT: by close_notify, or not.
const closing = `
import ssl, sys, echo
smtp = echo.login(*sys.argv[1:], sys.stdin.readline().rstrip("\n"))
assert smtp.docmd("QUIT") == (221, b"bye")
try:
    print("closed" if smtp.file.read() == b"" else "data")
except ssl.SSLEOFError:
    print("cut")
`

// python runs Python with a password on its standard input, and without
// installed packages (-S): the script must get by with the standard library. It
// returns what was printed, and what was complained of where it failed.
func python(ctx context.Context, password string, arguments ...string) (out, complaint string) {
	GinkgoHelper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "python3", append([]string{"-B", "-S"}, arguments...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(password+"\n"), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), err.Error() + ": " + stderr.String()
	}
	Expect(stderr.String()).To(BeEmpty())
	return stdout.String(), ""
}

// caFile is a certificate as a file.
func caFile(kind testserver.Key) string {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "ca.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: testserver.Certificate(kind).Leaf.Raw}
	Expect(os.WriteFile(file, pem.EncodeToMemory(block), 0o600)).To(Succeed())
	return file
}

// address is HOST PORT CA NAME, as echo.py takes them.
func address(addr, ca, name string) []string {
	host, port, _ := net.SplitHostPort(addr)
	return []string{host, port, ca, name}
}

var _ = Describe("Python's smtplib, as in echo.py", Label("peer:smtplib", "rfc:4954", "rfc:5802"), func() {
	BeforeEach(func() { harness.Tool("python3") })

	// script runs echo.py against a server with the harness's certificate.
	script := func(ctx context.Context, addr string, who account, more ...string) (out, complaint string) {
		GinkgoHelper()
		arguments := append([]string{"echo.py"}, address(addr, caFile(testserver.ECDSA), who.name)...)
		return python(ctx, who.password, append(append(arguments, "hello"), more...)...)
	}
	It("logs in bound to the certificate and gets its text back", Label("mech:plus", "rfc:5929"), func(ctx SpecContext) {
		h := start(nil)
		out, complaint := script(ctx, h.Addr, alice)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("hello\n"))
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeServerEndPoint}))
		// The log of a connection may still be written when its client has gone.
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).Should(HaveLen(1))
		Expect(h.Log.Records("session.close")[0].Str("reason")).To(Equal("quit"))
	}, limit)

	It("logs in with SCRAM-SHA-256", Label("mech:plain"), func(ctx SpecContext) {
		h := start(nil)
		out, complaint := script(ctx, h.Addr, alice, scram.SHA256)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("hello\n"))
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256, ""}))
	}, limit)

	It("logs in with a name that has commas and equal signs", Label("mech:plus"), func(ctx SpecContext) {
		h := start(nil)
		who := accounts["a name with commas and equal signs"]
		h.Users.Set(who.prepared, who.verifier())
		out, complaint := script(ctx, h.Addr, who)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("hello\n"))
	}, limit)

	It("trusts the CA that a server makes for itself", Label("mech:plus", "rfc:5929"), func(ctx SpecContext) {
		dir, now := GinkgoT().TempDir(), time.Now()
		Expect(certs.Ensure(dir, []string{"127.0.0.1"}, now)).To(Succeed())
		pair, err := certs.Load(filepath.Join(dir, certs.CertFile), filepath.Join(dir, certs.KeyFile), now)
		Expect(err).NotTo(HaveOccurred())
		h := start(func(s *server.Server) { s.TLSConfig.Certificates[0] = pair })
		arguments := append([]string{"echo.py"}, address(h.Addr, filepath.Join(dir, certs.CAFile), "alice")...)
		out, complaint := python(ctx, alice.password, append(arguments, "hello")...)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("hello\n"))
		Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeServerEndPoint}))
	}, limit)

	DescribeTable("is refused", Label("control"), func(ctx SpecContext, mechanism ...string) {
		h := start(nil)
		out, complaint := script(ctx, h.Addr, mistaken, mechanism...)
		Expect(out).To(BeEmpty())
		Expect(complaint).To(ContainSubstring("echo.py: (535, b'login-failed"))
		Expect(refusals(h)).To(Equal([]string{"wrong-proof"}))
	},
		Entry("with a wrong password", limit, Label("mech:plus")),
		Entry("with a wrong password and without binding", limit, Label("mech:plain"), scram.SHA256),
	)

	It("sends nothing to a server that it doesn't trust", Label("control"), func(ctx SpecContext) {
		h := start(nil)
		arguments := append([]string{"echo.py"}, address(h.Addr, caFile(testserver.RSA), "alice")...)
		out, complaint := python(ctx, alice.password, append(arguments, "hello")...)
		Expect(out).To(BeEmpty())
		Expect(complaint).To(ContainSubstring("CERTIFICATE_VERIFY_FAILED"))
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("tls.fail") }).Should(HaveLen(1))
	}, limit)

	DescribeTable("judges a server of another make", func(ctx SpecContext, forge func(*lineServer), out, complaint string) {
		s := &lineServer{who: alice, stored: alice.xdgCredentials(), bind: ownCertificate}
		forge(s)
		gotOut, gotComplaint := script(ctx, s.run().addr, alice)
		Expect(gotOut).To(Equal(out))
		Expect(gotComplaint).To(ContainSubstring(complaint))
	},
		Entry("that is honest", limit, func(*lineServer) {}, "hello\n", ""),
		Entry("that doesn't know the password", limit, Label("control"), forgeServerKey, "", "did not prove"),
		Entry("that asks for no proof and gives none", limit, Label("control"), func(s *lineServer) {
			s.hasty = true
		}, "", "did not prove"),
		Entry("that expects another binding", limit, Label("control"), func(s *lineServer) {
			s.bind = other(xdg.ChannelBindingTLSServerEndpoint)
		}, "", "(535,"),
	)

	It("sees the close_notify of our server", func(ctx SpecContext) {
		h := start(nil)
		out, complaint := python(ctx, alice.password,
			append([]string{"-c", closing}, address(h.Addr, caFile(testserver.ECDSA), "alice")...)...)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("closed\n"))
	}, limit)

	It("would miss that of a server that just hangs up", Label("control"), func(ctx SpecContext) {
		s := (&lineServer{who: alice, stored: alice.xdgCredentials(), bind: ownCertificate, cut: true}).run()
		out, complaint := python(ctx, alice.password,
			append([]string{"-c", closing}, address(s.addr, caFile(testserver.ECDSA), "alice")...)...)
		Expect(complaint).To(BeEmpty())
		Expect(out).To(Equal("cut\n"))
	}, limit)
})
