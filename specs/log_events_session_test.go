package specs

import (
	"bufio"
	"context"
	"encoding/base64"
	"net"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// request is a request of a line with no body.
func request(n int, verb, argument string, code int, keyword, reply string) harness.Line {
	return on("info", "request", "n", n, "verb", verb, "argument_bytes", len(argument), "body_bytes", 0,
		"code", code, "keyword", keyword, "reply_bytes", len(reply)+len("250 \r\n"), "duration", harness.AnySeconds)
}

// queued has bob wait for alice, and returns when both have gone.
func queued(ctx SpecContext, h *harness.H) {
	GinkgoHelper()
	alice, bob := h.LoggedIn(ctx, "alice"), h.Queued(ctx, "bob")
	Expect(alice.Quit(ctx)).To(Succeed())
	Eventually(ctx, bob.Done).Should(BeClosed())
	Expect(bob.Client.Quit(ctx)).To(Succeed())
}

// gone has bob lose patience while alice has the seat.
func gone(ctx SpecContext, h *harness.H) {
	GinkgoHelper()
	h.LoggedIn(ctx, "alice")
	bob := h.Wire(ctx, true).Greeted().Login("bob", "")
	Expect(bob.Line()).To(HavePrefix("120 "))
	Expect(bob.Ask("QUIT")).To(HavePrefix("221 "))
}

// faulty serves PANIC and NO beside the stock verbs, and hears what is said.
func faulty(s *server.Server) {
	mux := s.Stock()
	mux.HandleFunc("PANIC", func(context.Context, *server.Request) (protocol.Reply, error) { panic("as it should") })
	mux.HandleFunc("NO", func(context.Context, *server.Request) (r protocol.Reply, err error) {
		return r, server.Refuse("not today")
	})
	s.Handler, s.OnSay = mux, func(string, string) {}
}

// backed joins clients to something that answers what it is asked, and ends.
func backed(s *server.Server) {
	backend := listener("tcp", "127.0.0.1:0", func(c net.Conn) {
		if question, _ := bufio.NewReader(c).ReadString('\n'); question == "*IDN?\n" {
			say(c, "an instrument\n")
		}
	})
	s.Backend = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", backend)
	}
}

// streaming is the log of a server that has joined alice to that.
func streaming(payload bool) func(SpecContext) *harness.Log {
	return func(ctx SpecContext) *harness.Log {
		h := start(func(s *server.Server) {
			backed(s)
			s.LogPayload = payload
		})
		alice := h.Wire(ctx, true).Seated("alice")
		Expect(alice.Ask("OPEN")).To(Equal("252 open"))
		alice.Send("*IDN?\n")
		Expect(alice.Octets(14)).To(Equal("an instrument\n"))
		Expect(alice.Close()).To(Succeed())
		return h.Log
	}
}

var sessionEvents = []recorded{
	{
		"queue.enter", "as a client begins to wait", serving(nil, queued),
		[]harness.Line{on("info", "queue.enter", "position", 1)},
	},
	{
		"queue.leave", "as it is granted the seat", serving(nil, queued),
		[]harness.Line{on("info", "queue.leave", "reason", "granted", "waited", harness.AnySeconds)},
	},
	{
		"queue.leave", "as it gives up", serving(nil, gone),
		[]harness.Line{on("info", "queue.leave", "reason", "quit", "waited", harness.AnySeconds)},
	},
	{
		"session.open", "for each session", serving(nil, queued),
		[]harness.Line{
			on("info", "session.open", "user", "alice", "waited", harness.AnySeconds),
			on("info", "session.open", "user", "bob", "waited", harness.AnySeconds),
		},
	},
	{
		"request", "whether it is done, refused or unknown", asking(faulty, "ECHO hello", "NO please", "NOSUCH secret verb", "PANIC", "QUIT"),
		[]harness.Line{
			request(1, "ECHO", "hello", 250, "", "hello"),
			request(2, "NO", "please", 550, "refused", "refused not today"),
			request(3, "", "secret verb", 500, "unknown-command", "unknown-command see HELP"),
			request(4, "PANIC", "", 554, "failed", "failed the request failed"),
			request(5, "QUIT", "", 221, "", "bye"),
		},
	},
	{
		"request", "with its payload where the operator asks for it",
		asking(func(s *server.Server) { s.LogPayload = true }, "ECHO hello", "BODY 5 ECHO\r\n\x00\xff!"),
		[]harness.Line{
			on("info", "request", "n", 1, "verb", "ECHO", "argument_bytes", 5, "body_bytes", 0, "code", 250, "keyword", "",
				"reply_bytes", 11, "duration", harness.AnySeconds, "argument", "hello", "body", ""),
			on("info", "request", "n", 2, "verb", "ECHO", "argument_bytes", 0, "body_bytes", 5, "code", 251, "keyword", "",
				"reply_bytes", 12, "duration", harness.AnySeconds, "argument", "", "body", "AP8hDQo="),
		},
	},
	{
		"chat", "of both sides", serving(faulty, func(ctx SpecContext, h *harness.H) {
			w := h.Wire(ctx, true).Seated("alice")
			Expect(w.Ask("SAY hello")).To(Equal("250 delivered"))
			Expect(h.Server.Say("good morning")).To(Succeed())
			Expect(w.Line()).To(Equal("150 good morning"))
		}),
		[]harness.Line{on("info", "chat", "direction", "in", "bytes", 5), on("info", "chat", "direction", "out", "bytes", 12)},
	},
	{
		"stream.open", "as the octets begin", streaming(false),
		[]harness.Line{on("info", "stream.open")},
	},
	{
		"stream.close", "as they end", streaming(false),
		[]harness.Line{on("info", "stream.close", "bytes_in", 6, "bytes_out", 14)},
	},
	{
		"stream.data", "where the operator asks for it", streaming(true),
		[]harness.Line{
			on("info", "stream.data", "direction", "in", "data", base64.StdEncoding.EncodeToString([]byte("*IDN?\n"))),
			on("info", "stream.data", "direction", "out", "data", base64.StdEncoding.EncodeToString([]byte("an instrument\n"))),
		},
	},
	{
		"handler.panic", "with the request that did it", asking(faulty, "ECHO", "PANIC"),
		[]harness.Line{on("error", "handler.panic", "user", "alice", "verb", "PANIC", "n", 2)},
	},
	{
		"session.close", "with what the session came to, in octets above TLS", serving(nil, func(ctx SpecContext, h *harness.H) {
			said := converse(ctx, h.Wire(ctx, true), "alice")
			Expect(strings.Join(said.client, "")).To(HaveLen(411))
			Expect(strings.Join(said.server, "")).To(HaveLen(326))
		}),
		[]harness.Line{on("info", "session.close", "reason", "quit", "requests", 4, "bytes_in", 411, "bytes_out", 326, "duration", harness.AnySeconds)},
	},
}

var logEvents = []recorded{
	{
		"log.repair", "in place of a line that was torn", func(SpecContext) *harness.Log {
			path := filepath.Join(GinkgoT().TempDir(), "audit.jsonl")
			Expect(os.WriteFile(path, []byte(`{"time":"20`), 0o600)).To(Succeed())
			log, err := audit.Open(path, audit.Options{})
			Expect(err).NotTo(HaveOccurred())
			Expect(log.Close()).To(Succeed())
			text, err := os.ReadFile(path)
			Expect(err).NotTo(HaveOccurred())
			return logged(string(text))
		},
		[]harness.Line{of("warn", "log.repair", "octets", 11, "data", base64.StdEncoding.EncodeToString([]byte(`{"time":"20`)))},
	},
	{
		"log.drop", "once it can say that records were lost", func(SpecContext) *harness.Log {
			kept := &harness.Log{}
			log := audit.New(kept, audit.Options{})
			log.Info("server.start", "").Str("listen", strings.Repeat("x", audit.MaxLine)).Send()
			Expect(log.Flush()).To(MatchError(audit.ErrDropped))
			return kept
		},
		[]harness.Line{of("warn", "log.drop", "records", 1)},
	},
}
