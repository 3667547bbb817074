package client

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/protocol/capability"
)

func TestAskTimeouts(t *testing.T) {
	t.Parallel()
	announced := capability.Timeouts{Idle: 7 * time.Second, Vanish: 30 * time.Second, Wait: time.Minute}
	for _, test := range []struct {
		ask  bool
		line []string
		want capability.Timeouts
	}{
		{true, []string{"250-" + announced.String()}, announced},
		{true, nil, capability.Timeouts{}},
		{false, []string{"250-" + announced.String()}, capability.Timeouts{}},
	} {
		r, d := honest(), dialer()
		r.capabilities, d.AskTimeouts = test.line, test.ask
		c, err := d.Dial(testContext(t), serve(t, serverTLS(), r.login), alice)
		check(t, err)
		if got, ok := c.Timeouts(); got != test.want || ok != (test.want == announced) {
			t.Error(got, ok)
		}
		c.Close()
	}
}

// To ask costs no round trip: the client sends as often as without.
func TestAskTimeoutsInOneWrite(t *testing.T) {
	t.Parallel()
	var writes [2]int64
	for i, ask := range []bool{false, true} {
		d, counter := tapDialer()
		d.AskTimeouts = ask
		seatedBy(t, d, serveEcho)
		writes[i] = counter.writes.Load()
	}
	if writes[0] != writes[1] || writes[0] == 0 {
		t.Error(writes)
	}
}
