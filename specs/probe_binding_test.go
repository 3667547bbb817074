package specs

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"regexp"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// inFront terminates TLS in front of a server, with the server's own certificate or with another one.
func inFront(h *harness.H, certificate tls.Certificate) (addr string) {
	GinkgoHelper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"sallyport/1"}})
	Expect(err).NotTo(HaveOccurred())
	behind := h.Dialer().TLSConfig.Clone()
	behind.NextProtos, behind.ServerName = []string{"sallyport/1"}, "localhost"
	var open sync.WaitGroup
	relay := func(near net.Conn) {
		defer near.Close()
		far, err := tls.Dial("tcp", h.Addr, behind)
		if err != nil {
			return
		}
		open.Go(func() {
			_, _ = io.Copy(far, near)
			_ = far.CloseWrite()
		})
		_, _ = io.Copy(near, far)
		_ = far.Close()
	}
	open.Go(func() {
		for near, err := l.Accept(); err == nil; near, err = l.Accept() {
			open.Go(func() { relay(near) })
		}
	})
	DeferCleanup(func() {
		_ = l.Close()
		open.Wait()
	})
	return l.Addr().String()
}

var _ = Describe("The prober and a server with channel binding on TLS", Label("area:probe", "rfc:5802", "rfc:9266", "mech:plus"), func() {
	checked := func(ctx SpecContext, addr string, certificates ...tls.Certificate) map[string]probe.Verdict {
		GinkgoHelper()
		host, port, err := net.SplitHostPort(addr)
		Expect(err).NotTo(HaveOccurred())
		all, err := runProbe(ctx, probe.Config{
			Role: probe.ServerRole, Target: probe.Target{Dialect: "sallyport", Host: host, Port: port}, Level: "all",
			Account: probe.Account{Name: "alice", Password: testserver.Password("alice")},
			Roots:   testserver.Pool(certificates...), Only: regexp.MustCompile("^checks/(binding TLS 1.3|certificate)"),
		})
		Expect(err).NotTo(HaveOccurred())
		verdicts := map[string]probe.Verdict{}
		for _, r := range all {
			verdicts[r.Name] = r.Verdict
		}
		return verdicts
	}
	own, other := testserver.Certificate(testserver.ECDSA), testserver.NewCertificate(testserver.ECDSA, func(*x509.Certificate) {})
	start := func() *harness.H { return harness.Serve(nil) }

	It("finds nothing wrong if the server binds to its connections", Label("control"), func(ctx SpecContext) {
		verdicts := checked(ctx, start().Addr, own)
		Expect(verdicts).To(HaveKeyWithValue("checks/binding TLS 1.3", probe.Pass))
		Expect(verdicts).To(HaveKeyWithValue("checks/binding TLS 1.3 tls-exporter", probe.Pass))
	}, limit)

	It("fails one that lacks tls-exporter on TLS 1.3", func(ctx SpecContext) {
		verdicts := checked(ctx, inFront(start(), own), own)
		Expect(verdicts).To(HaveKeyWithValue("checks/binding TLS 1.3", probe.Pass))
		Expect(verdicts).To(HaveKeyWithValue("checks/binding TLS 1.3 tls-exporter", probe.Fail))
	}, limit)

	It("notes one that offers PLUS and can bind with nothing", func(ctx SpecContext) {
		verdicts := checked(ctx, inFront(start(), other), other)
		Expect(verdicts).To(HaveKeyWithValue("checks/binding TLS 1.3", probe.NonStrict))
	}, limit)

	It("notes a certificate that ends within a week", func(ctx SpecContext) {
		for days, verdict := range map[int]probe.Verdict{6: probe.Info, 8: probe.Pass} {
			ends := testserver.NewCertificate(testserver.ECDSA, func(c *x509.Certificate) { c.NotAfter = time.Now().AddDate(0, 0, days) })
			Expect(checked(ctx, inFront(start(), ends), ends)).To(HaveKeyWithValue("checks/certificate", verdict))
		}
	}, limit)
})
