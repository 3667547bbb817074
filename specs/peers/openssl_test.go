package peers

import (
	"bytes"
	"context"
	"encoding/hex"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	xdg "github.com/xdg-go/scram"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// sClient is openssl s_client: a connection to our server over a TLS that is not Go's. Read returns only the server's
// replies. The program takes a line that begins with Q, R or K for a command, and doesn't send it.
type sClient struct {
	*tool
	text *textproto.Conn
	// printed is what the program itself prints: before the greeting, about the handshake.
	printed bytes.Buffer
	pending []byte
}

var (
	isReply = regexp.MustCompile(`^[0-9]{3}[ -]`)
	keying  = regexp.MustCompile(`Keying material: ([0-9A-F]{64})\n`)
)

// newSClient connects to our server, and verifies its certificate.
func newSClient(ctx context.Context, h *harness.H, arguments ...string) *sClient {
	GinkgoHelper()
	return newSClientWith(ctx, h, "", arguments...)
}

// newSClientWith takes options (SSL_CONF_cmd(3)) in place of the system's, which may forbid what our server is to
// refuse.
func newSClientWith(ctx context.Context, h *harness.H, options string, arguments ...string) *sClient {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, harness.Tool("openssl"), append([]string{
		"s_client", "-connect", h.Addr, "-CAfile", caFile(testserver.ECDSA), "-verify_return_error", "-verify_ip", "127.0.0.1",
		"-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32",
	}, arguments...)...)
	config := filepath.Join(GinkgoT().TempDir(), "openssl.cnf")
	sections := "openssl_conf = init\n[init]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\n"
	Expect(os.WriteFile(config, []byte(sections+options+"\n"), 0o600)).To(Succeed())
	cmd.Env = append(os.Environ(), "OPENSSL_CONF="+config)
	s := &sClient{tool: launch(cmd)}
	s.text = textproto.NewConn(s)
	return s
}

// Read reads replies.
func (s *sClient) Read(p []byte) (int, error) {
	for len(s.pending) == 0 {
		if !s.out.Scan() {
			return 0, os.ErrClosed
		}
		if line := s.out.Bytes(); isReply.Match(line) {
			s.pending = append(bytes.Clone(line), '\n')
		} else {
			s.printed.Write(append(bytes.Clone(line), '\n'))
		}
	}
	n := copy(p, s.pending)
	s.pending = s.pending[n:]
	return n, nil
}

func (s *sClient) Write(p []byte) (int, error) { return s.in.Write(p) }

// Close does nothing: the program ends with the spec.
func (s *sClient) Close() error { return nil }

// greet reads the greeting.
func (s *sClient) greet() error {
	_, _, err := s.text.ReadResponse(220)
	return err
}

// command sends a letter that is a command of s_client.
func (s *sClient) command(letter string) {
	GinkgoHelper()
	_, err := s.in.Write([]byte(letter + "\n"))
	Expect(err).NotTo(HaveOccurred())
}

// prints waits for a line that the program itself prints.
func (s *sClient) prints(line string) bool {
	for s.out.Scan() {
		s.printed.WriteString(s.out.Text() + "\n")
		if s.out.Text() == line {
			return true
		}
	}
	return false
}

// binding returns tls-exporter as OpenSSL derived it. It needs the greeting.
func (s *sClient) binding() xdg.ChannelBinding {
	GinkgoHelper()
	match := keying.FindSubmatch(s.printed.Bytes())
	Expect(match).NotTo(BeNil(), s.printed.String())
	data, err := hex.DecodeString(string(match[1]))
	Expect(err).NotTo(HaveOccurred())
	return xdg.ChannelBinding{Type: xdg.ChannelBindingTLSExporter, Data: data}
}

// login logs alice in with xdg's SCRAM, after the greeting.
func (s *sClient) login(binding xdg.ChannelBinding) error {
	GinkgoHelper()
	conversation := alice.xdgClient().NewConversationWithChannelBinding(binding)
	if err := saslExchange(s.text, "SCRAM-SHA-256-PLUS", conversation); err != nil {
		return err
	}
	Expect(conversation.Valid()).To(BeTrue())
	return nil
}

// seated connects and logs in, bound to what OpenSSL derived.
func seated(ctx context.Context, h *harness.H, arguments ...string) *sClient {
	GinkgoHelper()
	s := newSClient(ctx, h, arguments...)
	Expect(s.greet()).To(Succeed())
	Expect(s.login(s.binding())).To(Succeed())
	return s
}

// needOpenSSL skips the spec if openssl is LibreSSL's or too old.
func needOpenSSL(ctx context.Context) {
	GinkgoHelper()
	if version := output(ctx, "", harness.Tool("openssl"), "version"); !regexp.MustCompile(`^OpenSSL [3-9]`).MatchString(version) {
		harness.Missing("openssl", "OpenSSL 3 is not installed")
	}
}

// alert waits until our server ends the connection with an alert, and returns what s_client prints of it.
func (s *sClient) alert() string {
	GinkgoHelper()
	Expect(s.text.ReadResponse(220)).Error().To(MatchError(os.ErrClosed))
	Expect(s.ended()).NotTo(Succeed())
	return s.complaint.String()
}

var _ = Describe("Our server, with openssl s_client at the other end", Label("peer:openssl"), func() {
	BeforeEach(needOpenSSL)

	DescribeTable("greets it", func(ctx SpecContext, version, alpn string, arguments ...string) {
		h := start(allow12)
		s := newSClient(ctx, h, arguments...)
		Expect(s.greet()).To(Succeed())
		record := h.Log.Records("tls.handshake")[0]
		Expect([]string{record.Str("version"), record.Str("alpn")}).To(Equal([]string{version, alpn}))
		Expect(ask(s.text, 530, "ECHO hello")).To(HavePrefix("login-required"))
		Expect(ask(s.text, 221, "quit")).To(Equal("bye"))
		Expect(s.text.ReadLine()).Error().To(MatchError(os.ErrClosed))
		Expect(s.ended()).To(Succeed(), "close_notify")
	},
		Entry("on TLS 1.3", limit, Label("battery:29"), "TLS 1.3", ""),
		Entry("on TLS 1.2", limit, Label("battery:29"), "TLS 1.2", "", "-tls1_2"),
		Entry("as a native client", limit, Label("battery:29"), "TLS 1.3", "sallyport/1", "-alpn", "sallyport/1"),
		Entry("as a native client that speaks others as well", limit, Label("battery:29"),
			"TLS 1.3", "sallyport/1", "-alpn", "h2,sallyport/1"),
	)

	DescribeTable("refuses it in the handshake", Label("control", "promise:3", "battery:29"),
		func(ctx SpecContext, alert string, arguments ...string) {
			h := start(allow12)
			Expect(newSClient(ctx, h, arguments...).alert()).To(ContainSubstring("SSL alert number " + alert + "\n"))
			Eventually(ctx, func() []string { return h.Log.Events("") }).Should(ContainElement("conn.close"))
			Expect(h.Log.Events("")).To(Equal([]string{"server.start", "conn.accept", "tls.fail", "conn.close"}))
		},
		Entry("with the ALPN of HTTP/2", limit, Label("rfc:7301"), "120", "-alpn", "h2"),
		Entry("with the ALPN of HTTP/1.1", limit, Label("rfc:7301"), "120", "-alpn", "http/1.1"),
		Entry("with the ALPN of HTTP/2, on TLS 1.2", limit, Label("rfc:7301"), "120", "-alpn", "h2", "-tls1_2"),
		Entry("on TLS 1.1", limit, "70", "-tls1_1", "-cipher", "DEFAULT:@SECLEVEL=0"),
		Entry("on TLS 1.0", limit, "70", "-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"),
	)

	It("refuses TLS 1.2 by default", Label("control", "battery:29"), func(ctx SpecContext) {
		h := start(nil)
		Expect(newSClient(ctx, h, "-tls1_2").alert()).To(ContainSubstring("SSL alert number 70\n"))
	}, limit)

	When("TLS 1.2 is allowed", Label("battery:29", "rfc:7627"), func() {
		It("greets it with extended master secret", func(ctx SpecContext) {
			s := newSClientWith(ctx, start(allow12), "Options = ExtendedMasterSecret", "-tls1_2")
			Expect(s.greet()).To(Succeed())
			Expect(s.printed.String()).To(ContainSubstring("Extended master secret: yes\n"))
		}, limit)
		It("refuses it without", Label("control"), func(ctx SpecContext) {
			h := start(allow12)
			s := newSClientWith(ctx, h, "Options = -ExtendedMasterSecret", "-tls1_2")
			Expect(s.alert()).To(ContainSubstring("SSL alert number 80\n"))
			Eventually(ctx, h.Log.String).Should(ContainSubstring(`"error":"TLS 1.2 without extended master secret"`))
		}, limit)
	})
})
