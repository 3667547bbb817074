package choose_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/client/choose"
)

// A rig with a thousand gates that never answer does not keep a client from the other rigs, whether it seems free or has
// the shortest queue.
func TestSilentGates(t *testing.T) {
	t.Parallel()
	const loginTimeout = 10 * time.Second
	for _, holder := range []string{"", "mallory"} {
		synctest.Test(t, func(t *testing.T) {
			var all []choose.Gate
			for i := range 1000 {
				all = append(all, choose.Gate{Rig: "silent", ID: fmt.Sprint(i), Holder: holder})
			}
			good := choose.Gate{Rig: "good", Holder: holder, Waiting: len(holder)}
			chooser := choose.Chooser[string]{
				Follow: func(ctx context.Context, on func([]choose.Gate)) error {
					on(append(all, good))
					<-ctx.Done()
					return nil
				},
				Dial: func(ctx context.Context, g choose.Gate, _ bool) (string, error) {
					if g.Rig == "good" {
						return "a seat", nil
					}
					ctx, cancel := context.WithTimeout(ctx, loginTimeout)
					defer cancel()
					<-ctx.Done()
					return "", ctx.Err()
				},
				Close: func(string) {},
				IntN:  func(n int) int { return n - 1 }, // the first rig
			}
			began := time.Now()
			seat, at, err := chooser.Seat(t.Context())
			if took := time.Since(began); seat != "a seat" || at.Rig != "good" || err != nil || took > 2*time.Minute {
				t.Error(holder, seat, at, err, took)
			}
		})
	}
}
