package specs

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// recorded is an event, what brings it about, and its lines in the log of then:
// every field, in its order.
type recorded struct {
	event, when string
	act         func(SpecContext) *harness.Log
	want        []harness.Line
}

var _ = Describe("The interaction log's events", Label("area:log", "promise:5"), func() {
	every := slices.Concat(serverEvents, connectionEvents, loginEvents, sessionEvents, logEvents)

	for _, r := range every {
		var labels Labels
		if r.event == "server.reload" {
			labels = Label("area:command") // which it takes to have one
		}
		It("have their fields in order: "+r.event+", "+r.when, labels, func(ctx SpecContext) {
			log := r.act(ctx)
			lines := func() (all []harness.Line) {
				for _, line := range harness.Lines(log, r.event) {
					all = append(all, line.Normal())
				}
				return all
			}
			Eventually(ctx, lines).WithTimeout(5 * time.Second).Should(BeComparableTo(r.want))
		}, limit)
	}

	It("are all here, and as the documentation lists them", func() {
		readme, err := os.ReadFile("../server/audit/README.md")
		Expect(err).NotTo(HaveOccurred())
		Expect(documented(string(readme))).To(Equal(harness.Events))
		shown := map[string]bool{}
		for _, r := range every {
			shown[r.event] = true
		}
		shown["handler.stuck"] = true // takes 5 s: server/timeouts_test.go has it, in synthetic time
		Expect(slices.Sorted(maps.Keys(shown))).To(Equal(slices.Sorted(maps.Keys(harness.Events))))
	})
})

// documented are the events in the table of a document: the names in its first
// column, each with the fields in its second.
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

// of is a line about the server, and on is one about a connection: the event's
// own fields, name and value in turn, and those that every line has.
func of(level, event string, fields ...any) harness.Line {
	return line(nil, level, event, fields)
}

func on(level, event string, fields ...any) harness.Line {
	return line([]any{"conn", harness.AnyConn}, level, event, fields)
}

func line(conn []any, level, event string, own []any) (line harness.Line) {
	all := slices.Concat([]any{"time", harness.AnyTime, "level", level, "event", event}, conn, own, []any{"chain", harness.AnyChain})
	for pair := range slices.Chunk(all, 2) {
		if n, ok := pair[1].(int); ok {
			pair[1] = int64(n) // as the log is read
		}
		line = append(line, harness.Field{Name: pair[0].(string), Value: pair[1]})
	}
	return line
}

// serving is the log of a server with which a client has done something.
func serving(configure func(*server.Server), act func(SpecContext, *harness.H)) func(SpecContext) *harness.Log {
	return func(ctx SpecContext) *harness.Log {
		h := start(configure)
		act(ctx, h)
		return h.Log
	}
}

// asking has a seated client send lines, each of which is answered with one.
func asking(configure func(*server.Server), lines ...string) func(SpecContext) *harness.Log {
	return serving(configure, func(ctx SpecContext, h *harness.H) {
		w := h.Wire(ctx, true).Seated("alice")
		for _, line := range lines {
			w.Ask(line)
		}
	})
}

var serverEvents = []recorded{
	{
		"server.start", "as it begins to serve", serving(nil, func(SpecContext, *harness.H) {}),
		[]harness.Line{of("info", "server.start", "listen", harness.AnyAddress, "admission", "queue")},
	},
	{
		"server.stop", "as it ends", serving(nil, func(ctx SpecContext, h *harness.H) {
			Eventually(ctx, h.Log.String).ShouldNot(BeEmpty(), "before it serves there is nothing to stop")
			Expect(h.Server.Shutdown(ctx)).To(Succeed())
		}),
		[]harness.Line{of("info", "server.stop", "uptime", harness.AnySeconds)},
	},
	{
		"server.reload", "at a SIGHUP, whether it went well or not", func(ctx SpecContext) *harness.Log {
			c := newCLI()
			s := c.Serve(ctx)
			says(ctx, s.Signal(syscall.SIGHUP).Err, "reloaded")
			c.Write("state/cert.pem", "no certificate")
			says(ctx, s.Signal(syscall.SIGHUP).Err, "cert.pem")
			s.Stop(ctx)
			return logged(s.LogText())
		},
		[]harness.Line{of("info", "server.reload", "ok", true), of("info", "server.reload", "ok", false)},
	},
}

// logged is a log that was written to a file.
func logged(text string) *harness.Log {
	log := &harness.Log{}
	say(log, text)
	return log
}
