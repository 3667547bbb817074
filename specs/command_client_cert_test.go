package specs

import (
	"crypto/tls"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/certs"
)

var _ = Describe("The command with --client-ca", Label("area:command", "area:client-certificates"), func() {
	c := withCLI()
	s := &service{}
	var cas string // the file of --client-ca

	BeforeEach(func(ctx SpecContext) {
		cas = c.Path("state/ca.pem")
		*s = *c.Serve(ctx, "--client-ca", cas)
		for _, name := range []string{"alice", "bob"} {
			Expect(c.Run(ctx, "", "cert", "new", "--client", name, "--state", s.state)).To(
				did(0, "", MatchRegexp(`^wrote .*state/client-`+name+`\.pem and its key .*state/client-`+name+`-key.pem for `+name+`; serve with --client-ca [^\n]*\n$`)), "no warning")
		}
	}, limitOfNode)

	// with returns the flags for a client certificate in the state directory.
	with := func(name string) []string {
		return []string{"--cert", c.Path("state/client-" + name + ".pem"), "--key", c.Path("state/client-" + name + "-key.pem")}
	}

	It("serves a user with the right certificate and the right password", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", append(with("alice"), "WHOAMI")...)).To(printed("alice\n"))
		Expect(c.Run(ctx, "", s.As("hold", "bob", append(with("bob"), "--", "echo", "held")...)...)).To(printed("held\n"))
		Expect(s.LogText()).NotTo(ContainSubstring("fail"))
	}, limit)

	It("refuses another user's certificate in the words of a wrong password", func(ctx SpecContext) {
		refused := s.Connect(ctx, "alice", append(with("bob"), "WHOAMI")...)
		Expect(refused).To(failed(4, `535 login-failed authentication failed: is the name "alice" right, and the password, and is .*/client-bob\.pem this user's certificate\?`))
		Expect(s.LogText()).To(ContainSubstring(`"user":"alice","mechanism":"SCRAM-SHA-256-PLUS","reason":"certificate"`))
		Expect(stderr(s.Session)).To(ContainSubstring(`the certificate is not the user's: it is of \"bob\"`))
		c.Write("alice.pw", "a wrong one\n")
		wrong := s.Connect(ctx, "alice", append(with("bob"), "WHOAMI")...)
		Expect(stderr(wrong)).To(Equal(stderr(refused)))
		Expect(s.LogText()).NotTo(ContainSubstring("session.open"))
	}, limit)

	It("ends the handshake of a client without one", func(ctx SpecContext) {
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(failed(3, "the server demands a client certificate: give yours with --cert and --key"))
		Expect(s.LogText()).To(MatchRegexp(`"event":"tls.fail".*didn't provide a certificate`))
	}, limit)

	It("ends the handshake of an expired one", func(ctx SpecContext) {
		_, _, err := certs.IssueClient(s.state, "alice", time.Now().Add(-400*24*time.Hour))
		Expect(err).NotTo(HaveOccurred())
		Expect(s.Connect(ctx, "alice", append(with("alice"), "WHOAMI")...)).To(failed(3, "refused the client certificate .*/client-alice.pem: by the server's clock it has expired"))
		Expect(s.LogText()).To(MatchRegexp(`"event":"tls.fail".*certificate has expired`))
	}, limit)

	It("ends the handshake of one from another CA", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", "cert", "new", "--client", "alice", "--state", "other")).To(did(0, "", HaveSuffix(
			"\nwarning: there is no user alice yet; add one with: "+commandPath+" user add alice --state other\n")))
		foreign := []string{"--cert", "other/client-alice.pem", "--key", "other/client-alice-key.pem", "WHOAMI"}
		Expect(s.Connect(ctx, "alice", foreign...)).To(failed(3, "other/client-alice.pem: it is from a CA that the server does not know: ask the operator"))
		Expect(s.LogText()).To(MatchRegexp(`"event":"tls.fail".*unknown authority`))
	}, limit)

	It("ends the handshake of a server's certificate, though the same CA has signed it", func(ctx SpecContext) {
		server := []string{"--cert", filepath.Join(s.state, "cert.pem"), "--key", filepath.Join(s.state, "key.pem"), "WHOAMI"}
		Expect(s.Connect(ctx, "alice", server...)).To(failed(3, "cert.pem: bad certificate"))
		Expect(s.LogText()).To(MatchRegexp(`"event":"tls.fail".*incompatible key usage`))
	}, limit)

	It("refuses a key that others can read, on the client's side", func(ctx SpecContext) {
		Expect(os.Chmod(c.Path("state/client-alice-key.pem"), 0o644)).To(Succeed())
		Expect(s.Connect(ctx, "alice", append(with("alice"), "WHOAMI")...)).To(failed(1, `client-alice-key.pem: others can read or change the private key \(mode 0644\)`))
	}, limit)

	It("reads the CAs at SIGHUP, and ends the tickets", func(ctx SpecContext) {
		roots, err := certs.Pool(c.Path("state/ca.pem"))
		Expect(err).NotTo(HaveOccurred())
		pair, err := tls.LoadX509KeyPair(with("alice")[1], with("alice")[3])
		Expect(err).NotTo(HaveOccurred())
		config := &tls.Config{
			RootCAs: roots, NextProtos: []string{protocol.ALPN}, ClientSessionCache: tls.NewLRUClientSessionCache(1),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
		}
		greeted := func() (resumed bool, err error) {
			conn, err := (&tls.Dialer{Config: config}).DialContext(ctx, "tcp", s.addr)
			if err != nil {
				return false, err
			}
			defer conn.Close()
			_, err = conn.Read(make([]byte, 1))
			say(conn, "QUIT\r\n")
			_, _ = io.Copy(io.Discard, conn)
			return conn.(*tls.Conn).ConnectionState().DidResume, err
		}
		reload := func() {
			s.Signal(syscall.SIGHUP)
			says(ctx, s.Err, "reloaded certificate, users and log file")
		}
		Expect(greeted()).To(BeFalse())
		Expect(greeted()).To(BeTrue(), "control: a ticket is good for a connection")
		reload()
		Expect(greeted()).To(BeFalse(), "tickets of before end")
		Expect(greeted()).To(BeTrue(), "control")
		c.Write("state/ca.pem", otherCA())
		reload()
		_, err = greeted()
		Expect(err).To(MatchError(ContainSubstring("unknown certificate authority")))
		Expect(os.Remove(cas)).To(Succeed())
		s.Signal(syscall.SIGHUP)
		says(ctx, s.Err, "reload: what failed stays as it was.*no such file")
		_, err = greeted()
		Expect(err).To(MatchError(ContainSubstring("unknown certificate authority")))
	}, limit)

	DescribeTable("does not start with a file that", func(ctx SpecContext, what, file string) {
		Expect(c.Run(ctx, "", "serve", "--state", "other", "--listen", "127.0.0.1:0", "--client-ca", file)).To(failed(1, what))
	},
		Entry("is not there", "no such file", "nosuch", limit),
		Entry("has no CA", `cert.pem: "Sallyport server": not a CA that may sign certificates`, "state/cert.pem", limit),
		Entry("has no certificate", "users: no PEM certificate in the file", "state/users", limit),
	)
})

var _ = Describe("The lines of serve about its CA", Label("area:command", "area:pin"), func() {
	c := withCLI()

	It("name the pin, and what works from another machine", func(ctx SpecContext) {
		c.AddUser(ctx, c.Path("state"), "alice")
		Expect(certs.Issue(c.Path("state"), []string{"localhost", "rig.example"}, time.Now())).To(Succeed())
		s := c.Start("serve", "--listen", "0.0.0.0:0", "--state", "state")
		says(ctx, s.Err, `(?m)^next, in another terminal: .* connect --user alice --state state --addr localhost:(\d+)
from another machine: .* connect --user alice --addr rig\.example:\d+ --pin (SHA256:\S{43})
ca SHA256:\S{43}
log state/audit\.jsonl
`)
		Expect(stdout(c.Run(ctx, "", "cert", "show", "--state", "state"))).To(HavePrefix(pinLine(s.Err.Contents())))
	}, limit)

	It("lead to the backend, if there is one", func(ctx SpecContext) {
		s := c.Serve(ctx, "--backend", "tcp:"+unusedAddr)
		Expect(listening.FindStringSubmatch(stderr(s.Session))[2]).To(ContainSubstring(" connect --open --user alice --state "))
	}, limit)

	It("need no pin on the same machine", func(ctx SpecContext) {
		s := c.Serve(ctx)
		says(ctx, s.Err, `log .*\n`)
		Expect(stderr(s.Session)).NotTo(ContainSubstring("--pin"))
		Expect(pinLine(s.Err.Contents())).NotTo(BeEmpty())
	}, limit)

	It("name the pin of a certificate of its own, if its CA is private and in the file", func(ctx SpecContext) {
		Expect(os.Mkdir(c.Path("corp"), 0o700)).To(Succeed())
		_, err := certs.Ensure(c.Path("corp"), []string{"127.0.0.1"}, time.Now())
		Expect(err).NotTo(HaveOccurred())
		own := []string{"--cert", "corp/cert.pem", "--key", "corp/key.pem"}
		s := c.Serve(ctx, own...)
		says(ctx, s.Err, `log .*\n`)
		Expect(stderr(s.Session)).NotTo(ContainSubstring("ca SHA256:"))
		Expect(s.Connect(ctx, "alice", "WHOAMI")).To(failed(3, "unknown authority"))
		s.Stop(ctx)
		c.Write("corp/cert.pem", c.Read("corp/cert.pem")+c.Read("corp/ca.pem"))
		s = c.ServeOn(ctx, s.state, own...)
		says(ctx, s.Err, `log .*\n`)
		next := listening.FindStringSubmatch(stderr(s.Session))[2]
		Expect(next).To(HaveSuffix("--pin " + pinLine(s.Err.Contents())[len("ca "):]))
		Expect(c.Shell(ctx, "", next+" --password-file alice.pw WHOAMI")).To(printed("alice\n"))
	}, limit)
})

// pinLine returns the line of serve or of cert show that names the CA.
func pinLine(text []byte) string {
	return regexp.MustCompile(`(?m)^ca SHA256:\S{43}$`).FindString(string(text))
}
