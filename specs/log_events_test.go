package specs

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/specs/harness"
)

// At each server's end harness.CheckLog checks that each line of its log is well formed, and that the events of each
// connection are in order. The scenarios in fixtures/log cause the events. These specs have what scenarios can't do.
var _ = Describe("The interaction log's events", Label("area:log", "promise:5"), func() {
	// elsewhere are the events that no scenario can cause.
	elsewhere := []string{
		"server.reload", "stream.open", "stream.close", "stream.data", // below
		"handler.stuck",          // server/timeouts_test.go, in synthetic time
		"log.repair", "log.drop", // server/audit/file_test.go and failure_test.go
		"log.rotate", "log.space", // log_lost_test.go
		"cert.expiry", // command_state_test.go
	}

	It("are those of the documentation", func(SpecContext) {
		readme, err := os.ReadFile("../server/audit/README.md")
		Expect(err).NotTo(HaveOccurred())
		Expect(documented(string(readme))).To(Equal(harness.Events))
		Expect(show.Events).To(ConsistOf(slices.Collect(maps.Keys(harness.Events))), "those that log show --event takes")
	}, limit)

	It("each occur in a scenario or a spec", func(SpecContext) {
		suite, err := scenarios.Load(fixtures.Scenarios())
		Expect(err).NotTo(HaveOccurred())
		var lines strings.Builder
		for _, s := range suite {
			fmt.Fprintln(&lines, strings.Join(s.Lines, "\n"))
		}
		for event := range harness.Events {
			shown := regexp.MustCompile(`(?m)log .*\b` + regexp.QuoteMeta(event) + `\b`).MatchString(lines.String())
			Expect(shown || slices.Contains(elsewhere, event)).To(BeTrue(), event)
		}
	}, limit)

	DescribeTable("say how TLS was agreed, and that it was resumed", func(ctx SpecContext, config *tls.Config, want string) {
		h := start(func(s *server.Server) { s.TLSConfig.MinVersion = tls.VersionTLS12 })
		config.RootCAs, config.ServerName, config.ClientSessionCache = h.Roots, "localhost", tls.NewLRUClientSessionCache(1)
		for _, resumed := range []bool{false, true} {
			c := tls.Client(dial(ctx, h), config)
			Expect(hear(c, 4)).To(Equal("220 "))
			Expect(c.Close()).To(Succeed())
			handshakes := h.Log.Records("tls.handshake")
			last := handshakes[len(handshakes)-1]
			Expect(brief(last, "version", "curve", "alpn", "resumed")).To(Equal(fmt.Sprint(want, " ", resumed)))
		}
	},
		Entry("by a native client", &tls.Config{NextProtos: []string{protocol.ALPN}}, "TLS 1.3 X25519MLKEM768 sallyport/1", limit),
		Entry("by a generic client with TLS 1.2", &tls.Config{
			MaxVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519},
		}, "TLS 1.2 X25519 ", limit),
	)

	It("have the keyed hash of an unknown user's name", func(ctx SpecContext) {
		h := start(func(s *server.Server) { s.NameKey = []byte("key") })
		_, err := h.Dialer().Dial(ctx, h.Addr, client.Credentials{Username: "no name", Password: "a guess"})
		Expect(err).To(MatchError(client.ErrLoginFailed))
		mac := hmac.New(sha256.New, []byte("key"))
		mac.Write([]byte("no name"))
		Expect(h.Log.Records("login.fail")[0].Str("user")).To(Equal("#" + hex.EncodeToString(mac.Sum(nil))[:12]))
	}, limit)

	It("count the requests of a session, and its bytes above TLS", func(ctx SpecContext) {
		h := start(nil)
		sent := converse(ctx, h.Connect(ctx), "alice")
		Eventually(ctx, func() []testserver.Record { return h.Log.Records("session.close") }).Should(HaveExactElements(And(
			HaveKeyWithValue("requests", 4.0),
			HaveKeyWithValue("bytes_in", float64(len(strings.Join(sent.client, "")))),
			HaveKeyWithValue("bytes_out", float64(len(strings.Join(sent.server, "")))))))
	}, limit)

	DescribeTable("have the beginning and the end of a stream, and its data if the operator wants them",
		func(ctx SpecContext, payload bool, want ...string) {
			backend := listener("tcp", "127.0.0.1:0", func(c net.Conn) {
				if question, _ := bufio.NewReader(c).ReadString('\n'); question == "*ID\x00\xff\n" {
					say(c, "an instrument\n")
				}
			})
			h := start(func(s *server.Server) {
				s.LogPayload = payload
				s.Backend = func(ctx context.Context, _ *server.Request) (io.ReadWriteCloser, error) {
					return new(net.Dialer).DialContext(ctx, "tcp", backend)
				}
			})
			alice := h.Connect(ctx).Seated("alice")
			Expect(alice.Ask("OPEN")).To(Equal("252 open"))
			alice.Send("*ID\x00\xff\n")
			Expect(alice.Bytes(14)).To(Equal("an instrument\n"))
			Expect(alice.Close()).To(Succeed())
			Eventually(ctx, func() (all []string) {
				for _, r := range h.Log.Records("stream.open", "stream.data", "stream.close") {
					all = append(all, brief(r, "event", "direction", "data", "bytes_in", "bytes_out"))
				}
				return all
			}).Should(Equal(want))
		},
		Entry("without them", false, "stream.open", "stream.close 6 14", limit),
		Entry("with them", true, "stream.open",
			"stream.data in "+base64.StdEncoding.EncodeToString([]byte("*ID\x00\xff\n")),
			"stream.data out "+base64.StdEncoding.EncodeToString([]byte("an instrument\n")), "stream.close 6 14", limit),
	)

	It("have each SIGHUP, and whether the reload succeeded", Label("area:command"), func(ctx SpecContext) {
		c := newCLI()
		s := c.Serve(ctx)
		says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
		c.Write("state/cert.pem", "no certificate")
		says(ctx, s.Signal(syscall.SIGHUP).Err, "cert.pem")
		s.Stop(ctx)
		Expect(s.LogText()).To(MatchRegexp(`(?s)"event":"server.reload","ok":true,.*"event":"server.reload","ok":false,`))
	}, limit)
})

// documented returns the events in the table of a document: the names in its first column, with the fields in its
// second.
func documented(text string) map[string]string {
	all, name := map[string]string{}, regexp.MustCompile("`([a-z_.]+)`")
	names := func(cell string) (found []string) {
		for _, m := range name.FindAllStringSubmatch(cell, -1) {
			found = append(found, m[1])
		}
		return found
	}
	for line := range strings.Lines(text) {
		if cells := strings.Split(line, "|"); len(cells) > 3 {
			for _, event := range names(cells[1]) {
				all[event] = strings.Join(names(cells[2]), " ")
			}
		}
	}
	return all
}
