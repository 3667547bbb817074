package specs

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/mallory"
	"github.com/sallyport/sallyport/specs/harness"
)

// bearsOn are the promises that a case of the battery bears on.
var bearsOn = map[int][]int{
	2: {4}, 4: {2}, 8: {3}, 15: {2}, 17: {2, 5}, 18: {2}, 19: {2, 6}, 20: {2}, 21: {1}, 26: {3}, 27: {3},
	28: {3}, 29: {3}, 30: {2, 3}, 31: {5, 6}, 32: {3},
}

// wireKeys spare the iterations of PBKDF2, which are proved elsewhere.
var wireKeys = new(scram.KeyCache)

// replayLimit ends a replay in which both ends wait for one another.
const replayLimit = SpecTimeout(10 * time.Second)

var _ = Describe("Mallory on the wire", Label("area:mallory"), func() {
	transcripts, err := fixtures.Transcripts("wire")
	if err != nil {
		panic(err)
	}
	for _, t := range transcripts {
		w, err := mallory.NewWire(t)
		if err != nil {
			panic(err)
		}
		for _, role := range w.Roles() {
			It(describe(t, role), wireLabels(t), func(ctx SpecContext) { replayWire(ctx, w, role) }, replayLimit)
		}
	}

	It("has a control for each case, which succeeds", func() {
		done := map[string]bool{}
		for _, t := range transcripts {
			done[t.Name] = t.Stage == fixtures.Done
		}
		for _, t := range transcripts {
			Expect(t.Control == "" || done[t.Control]).To(BeTrue(), "%s: %q", t.Name, t.Control)
		}
	})
})

// describe names a spec after its transcript: as Mallory's role, and what becomes
// of her.
func describe(t fixtures.Transcript, role mallory.Role) string {
	if t.Stage == fixtures.Done {
		return fmt.Sprintf("gets through as the %s that does nothing wrong: %s", role, t.Name)
	}
	return fmt.Sprintf("as the %s fails at %s with %q: %s", role, t.Stage, t.Reason, t.Name)
}

func wireLabels(t fixtures.Transcript) (labels Labels) {
	if t.Stage == fixtures.Done {
		labels = append(labels, "control")
	}
	for _, number := range t.Battery {
		labels = append(labels, fmt.Sprint("battery:", number))
		for _, promise := range bearsOn[number] {
			labels = append(labels, fmt.Sprint("promise:", promise))
		}
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// replayWire acts a transcript out: it must end where and for the reason that it
// states. A server is as good as new afterwards.
func replayWire(ctx context.Context, w *mallory.Wire, role mallory.Role) {
	rig := &mallory.Rig{Users: harness.NewUsers(), Password: harness.Password, Keys: wireKeys}
	var h *harness.H
	if role != mallory.Server {
		h = start(w.Configure)
		aim(rig, h)
	}
	ending, err := w.Replay(ctx, rig, role)
	Expect(err).NotTo(HaveOccurred(), "ending: %+v", ending)
	Expect(ending.Reason).To(Equal(w.Reason), "client: %v", ending.Err)
	Expect(ending.Stage).To(Equal(w.Stage))
	if ending.Err != nil {
		for _, word := range []string{"mallory", "SSH", "HTTP"} {
			Expect(ending.Err.Error()).NotTo(ContainSubstring(word), "her words are shown as the server's")
		}
	}
	if h != nil { // whatever became of her password
		h.Users.Set("alice", harness.NewUsers().Must("alice"))
		isAsNew(ctx, h, w.Connections())
	}
}

// aim points a rig at a server.
func aim(rig *mallory.Rig, h *harness.H) {
	rig.Addr, rig.Roots, rig.Users = h.Addr, h.Roots, h.Users
	rig.Log = func() (all []mallory.Record) {
		for _, r := range h.Log.Records() {
			all = append(all, r)
		}
		return all
	}
	rig.SetPassword = func(name, password string) (err error) {
		var v scram.Verifier
		if password != "" {
			v, err = scram.NewVerifier(password, []byte("salt of "+name), scram.MinIterations)
		}
		h.Users.Set(name, v)
		return err
	}
	rig.Seat = func(ctx context.Context, name string) (func() error, error) {
		c, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials(name))
		if err != nil {
			return nil, err
		}
		return func() error {
			defer c.Close()
			if _, err := c.Do(ctx, harness.Ask("ECHO", "undisturbed")); err != nil {
				return err
			}
			return c.Quit(ctx)
		}, nil
	}
}

// isAsNew checks that nothing is left of an attack: all places in the lobby are
// free, and so is the seat.
func isAsNew(ctx context.Context, h *harness.H, places int) {
	GinkgoHelper()
	Eventually(ctx, func() error { return hasRoom(ctx, h, places) }).Should(Succeed())
	Eventually(ctx, func() error {
		c, err := h.Dialer().Dial(ctx, h.Addr, harness.Credentials("alice"))
		if err == nil {
			err = c.Quit(ctx)
		}
		return err
	}).Should(Succeed())
	Expect(h.Log.Verify()).To(Succeed())
	Expect(h.Log.Records("handler.panic")).To(BeEmpty())
}

// hasRoom checks that so many connections can be in the lobby at once.
func hasRoom(ctx context.Context, h *harness.H, places int) error {
	d := tls.Dialer{Config: &tls.Config{RootCAs: h.Roots}}
	for range places {
		c, err := d.DialContext(ctx, "tcp", h.Addr)
		if err != nil {
			return err
		}
		defer c.Close()
		greeting := make([]byte, 4)
		if _, err := io.ReadFull(c, greeting); err != nil || string(greeting) != "220 " {
			return fmt.Errorf("greeted with %q: %w", greeting, err)
		}
	}
	return nil
}
