package scenarios

import (
	"testing"
	"time"
)

// After a reload the server has another certificate: nobody gets in who trusts the
// one before, and a session goes on.
func TestOperatorReloads(t *testing.T) {
	t.Parallel()
	const script = "alice login\noperator reloads\nalice ask WHOAMI\nalice hears 250 alice\nalice quit\nbob login"
	for _, before := range []string{"", "server key=rsa\n", "matrix tls=1.2,1.3\n"} {
		for r := range suiteOf(t, before+script).Run(t.Context()) {
			if r.Status != Passed {
				t.Errorf("%q: %s %v", before, r.Name(), r.Err)
			}
		}
	}
	st := newStage(&Scenario{File: "server"}, nil, &Target{}, time.Now())
	h, err := st.own()
	noError(t, err)
	defer func() { _ = h.stop() }()
	trusting := &Remote{Addr: h.Addr, Roots: h.trusted()}
	if err := trusting.Reach(t.Context()); err != nil {
		t.Errorf("control: %v", err)
	}
	noError(t, h.reload())
	if trusting.Reach(t.Context()) == nil {
		t.Error("the server has its old certificate still")
	}
}
