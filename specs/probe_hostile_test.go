package specs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/hostile"
)

// short bounds the waits for a peer that stays silent, and patient those for all others.
const (
	short   = 200 * time.Millisecond
	patient = 20 * time.Second
)

// sentences has, for each way to misbehave, what the prober must say about it.
var sentences = map[string]string{
	"drips": "in time", "hangs": "in time", "closes": "ended the connection", "resets": "ended the connection", "halves": "ended the connection",
	"floods": "more than a login needs|does not speak|in time|TLS: ", "chatters": "more than a login needs|does not speak|in time|TLS: ",
	"garbage": "does not speak|TLS: ", "plain": "TLS: ", "old": "TLS: |does not speak this version of TLS",
}

// An ordeal is a run of the prober against a peer that misbehaves.
type ordeal struct {
	hostile.Fault
	// how often it behaves before
	from int
	// offer is the number of the message until which nothing is reached.
	offer int
	// loose accepts any sentence, because the prober answers what a client should not have said.
	loose  bool
	config probe.Config
}

// silent reports whether the prober must wait for the end of its time. XMPP has no lines, so a flood is a message that
// goes on.
func (o *ordeal) silent() bool {
	return slices.Contains([]string{"drips", "hangs", "chatters"}, o.How) || o.How == "floods" && strings.HasPrefix(o.config.Target.Dialect, "xmpp")
}

// later are the ways to misbehave when the logins without a fault have succeeded.
var later = []string{"drips", "hangs", "closes", "floods", "garbage"}

// logins bounds the logins of a run: a look, the logins without a fault, and the cases.
const logins = 12

// complaint returns what is wrong with the prober's reaction.
func (o *ordeal) complaint(ctx context.Context) string {
	o.config.Timeout = patient
	if o.silent() || o.loose {
		o.config.Timeout = short
	}
	began := time.Now()
	results, err := runProbe(ctx, o.config)
	if took, most := time.Since(began), logins*4*o.config.Timeout; took > most+10*time.Second {
		return fmt.Sprintf("took %v", took)
	}
	if err == nil && o.from == 0 && !o.loose {
		return fmt.Sprintf("no error, but %v", results)
	}
	for _, r := range results {
		if r.Verdict == "" || r.Reason == "" || len(r.Reason) > 1000 || len(r.Words) > 1000 {
			return fmt.Sprintf("a result %.2000v", r)
		}
	}
	if err == nil {
		return ""
	}
	return o.sentence(err)
}

// sentence returns what is wrong with the error of a run.
func (o *ordeal) sentence(err error) string {
	text := err.Error()
	reached := o.At > o.offer
	switch {
	case len(text) > 1000 || strings.ContainsAny(text, "\n\r\x1b\x00"):
		return fmt.Sprintf("a sentence of %d bytes: %.200q", len(text), text)
	case !o.loose && !regexp.MustCompile(sentences[o.How]).MatchString(text):
		return "it says " + text
	case o.silent() && (errors.Is(err, probe.ErrNotReached) || errors.Is(err, probe.ErrControl)):
		return "" // a busy machine may not reach the message in time
	case !reached && o.from == 0 && !errors.Is(err, probe.ErrNotReached), reached && !errors.Is(err, probe.ErrControl):
		return "it is another error: " + text
	}
	return ""
}

// endure plays all ordeals at once. It returns the complaints.
func endure(ctx context.Context, all []*ordeal) (complaints []string) {
	var mu sync.Mutex
	var running sync.WaitGroup
	for _, o := range all {
		running.Go(func() {
			defer GinkgoRecover()
			if why := o.complaint(ctx); why != "" {
				mu.Lock()
				defer mu.Unlock()
				complaints = append(complaints, fmt.Sprintf("%s at message %d from login %d: %s", o.How, o.At, o.from, why))
			}
		})
	}
	running.Wait()
	slices.Sort(complaints)
	return complaints
}

var hostileAlice = probe.Account{Name: "alice", Password: testserver.Password("alice")}

// hostileServer serves on the loopback, and returns the configuration of a prober.
func hostileServer(dialect string, fault hostile.Fault, from int, pair tls.Certificate) probe.Config {
	GinkgoHelper()
	v, err := scram.NewVerifier(hostileAlice.Password, []byte("salt of alice"), scram.MinIterations)
	Expect(err).NotTo(HaveOccurred())
	s := &hostile.Server{
		Dialect: dialect, Fault: fault, From: from, Certificate: pair,
		Lookup: func(name string) (scram.Verifier, bool) { return v, name == hostileAlice.Name },
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	served := make(chan struct{})
	go func() {
		defer close(served)
		s.Serve(l)
	}()
	DeferCleanup(func() {
		_ = l.Close()
		<-served
	})
	_, port, err := net.SplitHostPort(l.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	return probe.Config{
		Role: probe.ServerRole, Target: probe.Target{Dialect: dialect, Host: "127.0.0.1", Port: port}, Account: hostileAlice,
		Roots: testserver.Pool(pair), Level: "must", Only: regexp.MustCompile(`^03-nonce/other plain$`),
	}
}

var _ = Describe("The prober, when a peer misbehaves,", Label("area:probe"), func() {
	networks := slices.DeleteFunc(slices.Sorted(maps.Keys(hostile.Scripts)), func(d string) bool { return d == "stdio" })

	for _, dialect := range networks {
		script := hostile.Scripts[dialect]

		It("judges a server of "+dialect+" that behaves", Label("control"), func(ctx SpecContext) {
			c := hostileServer(dialect, hostile.Fault{}, 0, testserver.Certificate(testserver.ECDSA))
			c.Only = regexp.MustCompile("^(03|16)")
			all, err := runProbe(ctx, c)
			Expect(err).NotTo(HaveOccurred())
			Expect(namesOf(all, probe.Fail)).To(BeEmpty())
			Expect(len(namesOf(all, probe.Pass))).To(BeNumerically(">", 5))
		}, limit)

		It("gives up on a server of "+dialect+", or gives verdicts, whatever it does at which message", func(ctx SpecContext) {
			faults := hostile.Faults(script.Last, true)
			if script.Before > 0 {
				faults = append(faults, hostile.Fault{How: "goes-on", At: script.Before})
			}
			var all []*ordeal
			for _, fault := range faults {
				for _, from := range []int{0, 3} { // at once, and when the logins without a fault have succeeded
					if from == 0 || slices.Contains(later, fault.How) {
						c := hostileServer(dialect, fault, from, testserver.Certificate(testserver.ECDSA))
						all = append(all, &ordeal{Fault: fault, from: from, offer: script.Offer, config: c})
					}
				}
			}
			Expect(endure(ctx, all)).To(BeEmpty())
		}, limit)

		It("refuses a server of "+dialect+" with a certificate that is not to be trusted", func(ctx SpecContext) {
			for _, fault := range []string{"expired", "unknown-ca", "wrong-name", "wrong-usage", "not-yet-valid"} {
				pair, roots, err := testserver.FaultyCertificate(fault)
				Expect(err).NotTo(HaveOccurred())
				c := hostileServer(dialect, hostile.Fault{}, 0, pair)
				c.Roots = roots
				_, err = runProbe(ctx, c)
				Expect(err).To(MatchError(probe.ErrNotReached), fault)
				Expect(err).To(MatchError(ContainSubstring("TLS: ")), fault)
			}
		}, limit)
	}
})
