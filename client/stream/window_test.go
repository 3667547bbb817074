package stream

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol/piece"
)

// The client sends few PINGs where answers come fast, and more where they are slow.
func TestPingEvery(t *testing.T) {
	t.Parallel()
	for takes, want := range map[time.Duration]int64{slow: pingEvery, slow + 1: pingOften} {
		synctest.Test(t, func(t *testing.T) {
			w := newWindow()
			w.asks(nil)
			time.Sleep(takes)
			if err := w.answer("0"); err != nil {
				t.Fatal(err)
			}
			for !w.sends(1 << 10) {
			}
			if got := w.sent - 1<<10; got != want {
				t.Errorf("after %v the next PING comes after %d bytes, not %d", takes, got, want)
			}
		})
	}
}

// An answer to the first PING leaves room for it and for the bytes behind it.
func TestPingComesBeforeTheEnd(t *testing.T) {
	t.Parallel()
	if pingEvery+maxData > piece.Ahead {
		t.Errorf("the stream stops before the PING that is sent after %d bytes", pingEvery)
	}
}
