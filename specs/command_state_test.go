package specs

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/certs"
)

var _ = Describe("The command on a bad state", Label("area:command"), func() {
	c := withCLI()

	serve := func(ctx SpecContext, flags ...string) *gexec.Session {
		return c.Run(ctx, "", append([]string{"serve", "--listen", "127.0.0.1:0", "--state", "state"}, flags...)...)
	}

	It("names a state directory that is a file", func(ctx SpecContext) {
		c.Write("state", "not a directory")
		Expect(serve(ctx)).To(failed(1, "can't use the directory state: .*not a directory: choose another with --state"))
		Expect(c.Run(ctx, "pw\n", "user", "add", "alice", "--password-stdin", "--state", "state")).To(failed(1, "can't use the directory state: "))
	}, limit)

	It("refuses a state directory that others can write to", func(ctx SpecContext) {
		Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
		Expect(os.Chmod(c.Path("state"), 0o777)).To(Succeed())
		Expect(serve(ctx)).To(failed(1, `state: .*others can write to it \(mode 0777\)`))
	}, limit)

	It("names a port that is in use, and how to ask by whom", func(ctx SpecContext) {
		addr := listener("tcp", "127.0.0.1:0", func(net.Conn) {})
		_, port, err := net.SplitHostPort(addr)
		Expect(err).NotTo(HaveOccurred())
		for _, listen := range []string{addr, port} {
			Expect(serve(ctx, "--listen", listen)).To(failed(1, fmt.Sprintf(`127\.0\.0\.1:%s is in use: .*ss -ltnp .*%[1]s`, port)))
		}
	}, limit)

	It("names the process that runs on the state directory", func(ctx SpecContext) {
		first := c.Serve(ctx)
		Expect(serve(ctx)).To(failed(1, fmt.Sprintf("a server runs on the directory state, as process %d: .*--state", first.Command.Process.Pid)))
		first.Stop(ctx)
		second := c.ServeOn(ctx, first.state)
		Expect(serve(ctx)).To(failed(1, fmt.Sprintf("as process %d:", second.Command.Process.Pid)))
		Expect(second.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		ended(ctx, second.Kill())
		Expect(c.ServeOn(ctx, first.state).Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"), "a killed server leaves no lock")
	}, limit)

	It("names the line of the users file that is corrupt, and serves the others", func(ctx SpecContext) {
		c.AddUser(ctx, c.Path("state"), "alice", "bob")
		users := c.Path("state/users")
		lines := strings.SplitAfter(c.Read("state/users"), "\n")
		Expect(os.WriteFile(users, []byte(lines[0]+"carol:garbage\n"+lines[1]), 0o600)).To(Succeed())
		s := c.ServeOn(ctx, c.Path("state"))
		Expect(stderr(s.Session)).To(ContainSubstring(users + ":2: "))
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(printed("alice\n"))
		Expect(s.Connect(ctx, "bob", "WHOAMI")).To(printed("bob\n"))
		list := c.Run(ctx, "", "user", "list", "--state", "state")
		Expect(list).To(did(1, "alice  4096 iterations\nbob    4096 iterations\n", ContainSubstring("users:2: ")))
	}, limit)

	It("refuses a key that doesn't match its certificate", func(ctx SpecContext) {
		for _, state := range []string{"one", "two"} {
			Expect(c.Run(ctx, "", "user", "list", "--state", state)).To(gexec.Exit(0))
		}
		Expect(serve(ctx, "--cert", "one/cert.pem", "--key", "two/key.pem")).To(
			failed(1, "one/cert.pem with key two/key.pem: .*private key does not match public key"))
		Expect(os.Rename(c.Path("two/key.pem"), c.Path("one/key.pem"))).To(Succeed())
		Expect(serve(ctx, "--state", "one")).To(failed(1, "cert.pem with key one/key.pem: .*does not match"))
	}, limit)

	It("refuses an expired certificate", func(ctx SpecContext) {
		for name, end := range map[string]time.Duration{"expired": -time.Minute, "valid": time.Hour} {
			pair := testserver.NewCertificate(testserver.ECDSA, func(t *x509.Certificate) { t.NotAfter = time.Now().Add(end) })
			key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
			Expect(err).NotTo(HaveOccurred())
			c.Write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
			c.Write(name+"-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
		}
		Expect(serve(ctx, "--cert", "expired.pem", "--key", "expired-key.pem")).To(failed(1, `expired.pem: the certificate expired on \d{4}-\d\d-\d\dT[0-9:]+Z: put a new one in its place`))
		valid := c.Start("serve", "--listen", "127.0.0.1:0", "--cert", "valid.pem", "--key", "valid-key.pem")
		Expect(awaitListening(ctx, valid)).NotTo(BeEmpty(), "control")
	}, limit)

	It("warns of a certificate that ends soon, and renews its own", Label("area:certs"), func(ctx SpecContext) {
		pair := testserver.NewCertificate(testserver.ECDSA, func(t *x509.Certificate) { t.NotAfter = time.Now().Add(10*24*time.Hour + time.Minute) })
		key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
		Expect(err).NotTo(HaveOccurred())
		c.Write("ends.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
		c.Write("ends-key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
		s := c.Serve(ctx, "--cert", "ends.pem", "--key", "ends-key.pem")
		says(ctx, s.Err, "the certificate")
		says(ctx, s.Err, "\n")
		Expect(stderr(s.Session)).To(ContainSubstring(`the certificate ends soon" days=10 `))
		says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
		s.Stop(ctx)
		Expect(strings.Count(s.LogText(), `"level":"warn","event":"cert.expiry","days":10,`)).To(Equal(1), "once a day")

		s = c.ServeOn(ctx, s.state)
		Expect(certs.Issue(s.state, []string{"localhost", "127.0.0.1"}, time.Now().Add(-340*24*time.Hour))).To(Succeed())
		shown := c.Run(ctx, "", "cert", "show", "--state", s.state)
		Expect(stdout(shown)).To(MatchRegexp(`cert.pem: localhost, 127.0.0.1: until \d{4}-\d\d-\d\d, 24 days left\n\S+ca.pem: Sallyport CA: until \S+, 3649 days left\n-----BEGIN CERTIFICATE-----\n`))
		says(ctx, s.Signal(syscall.SIGHUP).Err, "renewed the certificate")
		says(ctx, s.Err, "reloaded")
		Expect(stdout(c.Run(ctx, "", "cert", "show", "--state", s.state))).To(ContainSubstring(", 364 days left\n"))
		config := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
		Expect(config.RootCAs.AppendCertsFromPEM([]byte(c.Read("state/ca.pem")))).To(BeTrue())
		conn, err := tls.Dial("tcp", s.addr, config)
		Expect(err).NotTo(HaveOccurred())
		Expect(conn.ConnectionState().PeerCertificates[0].NotAfter).To(BeTemporally(">", time.Now().Add(360*24*time.Hour)))
		Expect(conn.Close()).To(Succeed())
		s.Stop(ctx)
		Expect(s.LogText()[strings.LastIndex(s.LogText(), "server.start"):]).NotTo(ContainSubstring("cert.expiry"))
	}, limit)

	It("repairs a log whose last line is half written", func(ctx SpecContext) {
		s := c.Serve(ctx)
		Expect(s.Connect(ctx, "alice", "ECHO", "before")).To(printed("before\n"))
		ended(ctx, s.Kill())
		whole := s.LogText()
		Expect(os.WriteFile(s.Log(), []byte(whole+`{"time":"20`), 0o600)).To(Succeed())
		Expect(c.Run(ctx, "", "log", "verify", s.Log())).To(gexec.Exit(1))

		s = c.ServeOn(ctx, s.state)
		Expect(s.LogText()).To(HavePrefix(whole))
		Expect(s.LogText()[len(whole):]).To(MatchRegexp(`^\{[^\n]*"event":"log.repair","octets":11,"data":"eyJ0aW1lIjoiMjA="`))
		Expect(s.Connect(ctx, "alice", "ECHO", "after")).To(printed("after\n"))
		Expect(c.Run(ctx, "", "log", "verify", "--head", s.Stop(ctx), s.Log())).To(gexec.Exit(0))
	}, limit)

	It("refuses a log whose last line has no chain", func(ctx SpecContext) {
		Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
		c.Write("state/audit.jsonl", `{"time":"of something else"}`+"\n")
		Expect(serve(ctx)).To(failed(1, `state/audit.jsonl: last line: no chain value at the end: .*log verify.* move the file away`))
		Expect(c.Run(ctx, "", "log", "verify", "state/audit.jsonl")).To(SatisfyAll(gexec.Exit(1), gbytes.Say(`state/audit.jsonl:1: no chain`)))
		Expect(os.Rename(c.Path("state/audit.jsonl"), c.Path("old.jsonl"))).To(Succeed())
		c.ServeOn(ctx, c.Path("state"))
	}, limit)

	It("names a malformed secret", func(ctx SpecContext) {
		Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
		c.Write("state/secret", "garbage\n")
		Expect(serve(ctx)).To(failed(1, filepath.Join("state", "secret")+": not 64 hex digits"))
	}, limit)
})
