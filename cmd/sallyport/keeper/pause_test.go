package keeper

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// TestLongestPause: the pause does not grow beyond MaxPause.
func TestLongestPause(t *testing.T) {
	t.Parallel()
	startWith(t, Options{MaxPause: time.Second}, errors.New("unplugged"), func(w *world) {
		time.Sleep(10 * time.Minute)
		w.setDown(nil)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := w.Down(); err != nil {
			t.Error("it is not open after a second:", err)
		}
	})
}
