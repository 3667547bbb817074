package specs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/certs"
)

var _ = Describe("The command with --pin", Label("area:command", "area:pin"), func() {
	c := withCLI()

	// kept returns the files in the cache of the client.
	kept := func() []string {
		files, err := filepath.Glob(c.Path("cache/sallyport/*"))
		Expect(err).NotTo(HaveOccurred())
		return files
	}

	When("there is a server", func() {
		s := c.withServer()
		var shown string // by cert show

		// connect runs connect as on another machine, which has a pin only.
		connect := func(ctx SpecContext, pin string, args ...string) *gexec.Session {
			return c.With("XDG_CACHE_HOME="+c.Path("cache")).Run(ctx, "", append([]string{
				"connect", "--addr", s.addr, "--user", "alice", "--password-file", "alice.pw", "--pin", pin,
			}, args...)...)
		}

		BeforeEach(func(ctx SpecContext) {
			show := c.Run(ctx, "", "cert", "show", "--state", s.state)
			Expect(show).To(gexec.Exit(0))
			m := regexp.MustCompile(`(?m)^ca (SHA256:[A-Za-z0-9+/]{43})$`).FindStringSubmatch(stdout(show))
			Expect(m).NotTo(BeNil())
			shown = m[1]
		}, limitOfNode)

		It("trusts the CA that cert show names, and keeps it", func(ctx SpecContext) {
			Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			Expect(kept()).To(HaveLen(1))
			info, err := os.Stat(kept()[0])
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Mode()).To(Equal(os.FileMode(0o600)))
			Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			Expect(strings.Count(s.LogText(), `"event":"tls.fail"`)).To(Equal(1), "only the first connection gets the CA from the server")
			Expect(strings.Count(s.LogText(), `"event":"login.ok"`)).To(Equal(2))
		}, limit)

		It("gets the CA again if the kept file was changed", func(ctx SpecContext) {
			Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			before := c.Read("cache/sallyport/" + filepath.Base(kept()[0]))
			Expect(os.WriteFile(kept()[0], []byte(otherCA()), 0o600)).To(Succeed())
			Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			Expect(c.Read("cache/sallyport/" + filepath.Base(kept()[0]))).To(Equal(before))
		}, limit)

		It("goes on where the CA can't be kept, and says so", func(ctx SpecContext) {
			c.Write("cache", "a file")
			Expect(connect(ctx, shown, "WHOAMI")).To(did(0, "alice\n", MatchRegexp(`^warning: the CA of --pin can't be kept, .*not a directory\n$`)))
		}, limit)

		It("draws no penalty by itself", func(ctx SpecContext) {
			for range 10 {
				Expect(os.RemoveAll(c.Path("cache"))).To(Succeed())
				Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			}
			Expect(s.LogText()).NotTo(ContainSubstring("throttled"))
		}, limit)

		It("works for hold, forward and replay", func(ctx SpecContext) {
			as := []string{"--addr", s.addr, "--pin", shown}
			login := append(as, "--user", "alice", "--password-file", "alice.pw")
			Expect(c.Run(ctx, "", append(append([]string{"hold"}, login...), "--", "echo", "held")...)).To(printed("held\n"))
			users := c.Write("users.txt", "alice:"+testserver.Password("alice")+"\nbob:"+testserver.Password("bob")+"\n")
			replay := c.Run(ctx, "", append(append([]string{"replay", "--run", "admission/no-wait"}, as...), "--users", users)...)
			Expect(replay).To(gexec.Exit(0), stdout(replay)+stderr(replay))
			forward := c.Run(ctx, "", append(append([]string{"forward", "--listen", "0"}, login...), "--keep")...)
			Expect(forward).To(did(1, "", ContainSubstring("this server has no --backend")))
		}, limit)

		It("is refused with another pin, and with that of the server's own certificate", func(ctx SpecContext) {
			leaf, err := certs.Read(filepath.Join(s.state, certs.CertFile))
			Expect(err).NotTo(HaveOccurred())
			Expect(connect(ctx, pin.Of(leaf).String(), "WHOAMI")).To(failed(3, `a certificate that is no CA: give the pin of the CA`))
			other := "SHA256:" + strings.Repeat("A", 43)
			Expect(connect(ctx, other, "WHOAMI")).To(failed(3, `sends no CA with this pin: get the pin from the server with: sallyport cert show`))
			Expect(s.LogText()).NotTo(ContainSubstring("login."))
			Expect(kept()).To(BeEmpty())
		}, limit)

		It("checks the name and the CA as always", func(ctx SpecContext) {
			Expect(connect(ctx, shown, "--server-name", "rig.example", "WHOAMI")).To(failed(3, "not rig.example: on the server: sallyport cert new --host rig.example"))
			Expect(connect(ctx, shown, "--ca", filepath.Join(s.state, certs.CAFile), "WHOAMI")).To(failed(2, "--ca and --pin exclude each other"))
			Expect(connect(ctx, shown[:20], "WHOAMI")).To(failed(2, `--pin: "SHA256:.*": a pin is SHA256: and 43 characters of base64: sallyport cert show prints it`))
		}, limit)

		It("is refused when the server has another CA than the kept one", func(ctx SpecContext) {
			Expect(connect(ctx, shown, "WHOAMI")).To(printed("alice\n"))
			s.Stop(ctx)
			for _, file := range []string{certs.CAFile, certs.CAKeyFile, certs.CertFile} {
				Expect(os.Remove(filepath.Join(s.state, file))).To(Succeed())
			}
			*s = *c.ServeOn(ctx, s.state)
			Expect(connect(ctx, shown, "WHOAMI")).To(failed(3, "the server's certificate is not from the CA of --pin; .*: give .* its pin with --pin; sallyport cert show"))
		}, limit)
	})

	DescribeTable("is refused by a server", func(ctx SpecContext, what string, chain func(leaf, root tls.Certificate) (pinned *x509.Certificate, sent [][]byte)) {
		root := testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) { c.Subject.CommonName = "CA" })
		leaf := testserver.NewCertificate(testserver.ECDSA, func(*x509.Certificate) {})
		pinned, sent := chain(leaf, root)
		leaf.Certificate = append(leaf.Certificate, sent...)
		got := make(chan int64, 8)
		addr := listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
			n, _ := io.Copy(io.Discard, tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{"sallyport/1"}}))
			got <- n
		})
		c.Write("pw", "a password\n")
		Expect(c.Run(ctx, "", "connect", "--addr", addr, "--user", "alice", "--password-file", "pw", "--pin", pin.Of(pinned).String(), "WHOAMI")).To(failed(3, what))
		Eventually(ctx, got).Should(Receive(BeZero()), "the server got nothing above TLS")
	},
		Entry("whose chain lacks the CA", "sends no CA with this pin", func(_, root tls.Certificate) (*x509.Certificate, [][]byte) {
			return root.Leaf, nil
		}, limit),
		Entry("whose own certificate, signed by itself, is pinned", "a certificate that is no CA", func(leaf, root tls.Certificate) (*x509.Certificate, [][]byte) {
			return leaf.Leaf, root.Certificate
		}, limit),
		Entry("whose CA may not sign", "a certificate that is no CA", func(_, _ tls.Certificate) (*x509.Certificate, [][]byte) {
			noCA := testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) { c.IsCA = false })
			return noCA.Leaf, noCA.Certificate
		}, limit),
		Entry("with two certificates of one name", "two certificates with the name of the CA, so", func(_, root tls.Certificate) (*x509.Certificate, [][]byte) {
			twin := testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) { c.Subject.CommonName = "CA" })
			return root.Leaf, append(root.Certificate, twin.Certificate...)
		}, limit),
	)

	It("shows the CA in a form that --ca takes", func(ctx SpecContext) {
		s := c.Serve(ctx)
		show := c.Run(ctx, "", "cert", "show", "--state", s.state)
		Expect(show.Out).To(gbytes.Say(`days left\n-----BEGIN CERTIFICATE-----\n`))
		c.Write("rig-ca.pem", stdout(show))
		Expect(c.Run(ctx, "", "connect", "--addr", s.addr, "--ca", "rig-ca.pem", "--user", "alice", "--password-file", "alice.pw", "WHOAMI")).To(printed("alice\n"))
	}, limit)
})

// otherCA returns a CA in PEM.
func otherCA() string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	_, err := certs.Ensure(dir, nil, time.Now())
	Expect(err).NotTo(HaveOccurred())
	text, err := os.ReadFile(filepath.Join(dir, certs.CAFile))
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}
