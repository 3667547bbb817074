package lease

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/protocol/capability"
)

var errLost = errors.New("lost")

// assumed are the limits of a server that announces none.
var assumed = Limits(capability.Timeouts{}, false)

// answer returns a ping that is answered after d.
func answer(d time.Duration) func() error {
	return func() error { time.Sleep(d); return nil }
}

func newLease(t *testing.T, limits capability.Timeouts) Lease {
	t.Helper()
	l, err := New(limits, time.Now())
	if err == nil {
		err = l.Ping(t.Context(), answer(0))
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestEarliestLimitCounts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limits     capability.Timeouts
		stop, next time.Duration // after the first ping; stop 0 for never
	}{
		{capability.Timeouts{Idle: 15 * time.Minute, Vanish: 30 * time.Second}, 24500 * time.Millisecond, 25 * time.Second / 3},
		{capability.Timeouts{Idle: 12 * time.Second, Vanish: 30 * time.Second}, 6500 * time.Millisecond, 7 * time.Second / 3},
		{capability.Timeouts{Vanish: 8 * time.Second, Wait: time.Second}, 2500 * time.Millisecond, time.Second},
		{capability.Timeouts{Idle: 15 * time.Minute}, 15*time.Minute - 5500*time.Millisecond, 20 * time.Second},
		{capability.Timeouts{Vanish: 30 * time.Second, Session: 20 * time.Second}, 14500 * time.Millisecond, 25 * time.Second / 3},
		{capability.Timeouts{Session: time.Hour}, time.Hour - 5500*time.Millisecond, 20 * time.Second},
		{capability.Timeouts{Wait: time.Minute}, 0, 20 * time.Second},
		{assumed, 19500 * time.Millisecond, 20 * time.Second / 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, now := newLease(t, test.limits), time.Now()
			if got := l.StopBy(); got.IsZero() != (test.stop == 0) || test.stop != 0 && got.Sub(now) != test.stop {
				t.Errorf("%v: stop after %v, not %v", test.limits, got.Sub(now), test.stop)
			}
			if got := l.NextPing().Sub(now); got != test.next {
				t.Errorf("%v: ping after %v, not %v", test.limits, got, test.next)
			}
		})
	}
}

// A stream has no program to end, and its server tells it of any other limit.
func TestSilence(t *testing.T) {
	t.Parallel()
	for vanish, want := range map[time.Duration]struct{ stop, next time.Duration }{
		30 * time.Second: {29500 * time.Millisecond, 10 * time.Second},
		time.Second:      {750 * time.Millisecond, time.Second / 3},
		time.Hour:        {time.Hour - 500*time.Millisecond, 20 * time.Second},
		0:                {0, 20 * time.Second},
		-1:               {0, 20 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			l, now := NewSilence(vanish), time.Now()
			if err := l.Ping(t.Context(), answer(0)); err != nil {
				t.Fatal(err)
			}
			if got := l.StopBy(); got.IsZero() != (want.stop == 0) || want.stop != 0 && got.Sub(now) != want.stop {
				t.Errorf("%v: stop after %v, not %v", vanish, got.Sub(now), want.stop)
			}
			if got := l.NextPing().Sub(now); got != want.next {
				t.Errorf("%v: ping after %v, not %v", vanish, got, want.next)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	if assumed != (capability.Timeouts{Idle: time.Minute, Vanish: 25 * time.Second}) {
		t.Error(assumed)
	}
	for _, announced := range []capability.Timeouts{{}, {Idle: time.Hour}} {
		if got := Limits(announced, true); got != announced {
			t.Error(got)
		}
	}
}

func TestTooShort(t *testing.T) {
	t.Parallel()
	for flag, limits := range map[string]capability.Timeouts{
		"--idle-timeout":   {Idle: 7 * time.Second, Vanish: 30 * time.Second},
		"--vanish-timeout": {Idle: 900 * time.Second, Vanish: 7 * time.Second},
		"--session-limit":  {Session: time.Second},
	} {
		_, err := New(limits, time.Now())
		if short, ok := errors.AsType[*ShortError](err); !ok || short.Flag != flag {
			t.Errorf("%v: %v", limits, err)
		}
	}
}

// The server may have seen the ping as soon as it was sent.
func TestCountsFromTheSending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(t, assumed)
		time.Sleep(6 * time.Second)
		sent := time.Now()
		if err := l.Ping(t.Context(), answer(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := l.StopBy().Sub(sent); got != 19500*time.Millisecond {
			t.Error(got)
		}
	})
}

func TestPingHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(t, assumed)
		began, stopBy := time.Now(), l.StopBy()
		time.Sleep(7 * time.Second)
		if err := l.Ping(t.Context(), answer(time.Hour)); err != ErrOver || time.Since(began) != 19500*time.Millisecond {
			t.Error(err, time.Since(began))
		}
		if l.StopBy() != stopBy {
			t.Error("an unanswered ping renewed the lease")
		}
		if err := l.Ping(t.Context(), answer(0)); err != ErrOver || l.StopBy() != stopBy {
			t.Error("a lease that is over was renewed", err)
		}
		time.Sleep(time.Hour)
		if err := l.Resume(t.Context(), answer(0)); err != nil || !l.StopBy().After(time.Now()) {
			t.Error(err) // the program was stopped meanwhile
		}
	})
}

// A hop may keep the connection whose other side the server has seen end.
func TestPingIsAnsweredSoon(t *testing.T) {
	t.Parallel()
	for _, limits := range []capability.Timeouts{{Idle: time.Hour}, {}} {
		synctest.Test(t, func(t *testing.T) {
			l, began := newLease(t, limits), time.Now()
			if err := l.Ping(t.Context(), answer(time.Hour)); err != ErrOver || time.Since(began) != 15*time.Second {
				t.Error(err, time.Since(began))
			}
			time.Sleep(time.Hour)
		})
	}
}

func TestSleepCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sleep time.Duration
		l := must(New(capability.Timeouts{Vanish: 30 * time.Second, Session: time.Hour}, time.Now()))
		l.slept = func() time.Duration { return sleep }
		now := time.Now()
		l.Renew(now)
		sleep += 7 * time.Second
		if got := l.StopBy().Sub(now); got != 17500*time.Millisecond {
			t.Error("a lease of 24.5 s, after 7 s of sleep:", got)
		}
		if got := l.NextPing().Sub(now); got != 25*time.Second/3-7*time.Second {
			t.Error("ping after", got)
		}
		// The answer was on its way when the machine fell asleep.
		if err := l.Ping(t.Context(), func() error { sleep += time.Hour; return nil }); err != nil || l.StopBy().After(time.Now()) {
			t.Error(err, l.StopBy().Sub(now))
		}
		l.Renew(time.Now())
		if err := l.Ping(t.Context(), answer(0)); err != ErrSession {
			t.Error(err)
		}
	})
}

func TestFirstPingHasADeadline(t *testing.T) {
	t.Parallel()
	for _, limits := range []capability.Timeouts{assumed, {}} {
		synctest.Test(t, func(t *testing.T) {
			l, began := must(New(limits, time.Now())), time.Now()
			if err := l.Ping(t.Context(), answer(time.Hour)); err != ErrOver || time.Since(began) != 10*time.Second {
				t.Error(err, time.Since(began))
			}
			time.Sleep(time.Hour)
		})
	}
}

func TestPingFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(t, assumed)
		stopBy := l.StopBy()
		time.Sleep(time.Second)
		if err := l.Ping(t.Context(), func() error { return errLost }); err != errLost || l.StopBy() != stopBy {
			t.Error(err)
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errLost)
		if err := l.Ping(ctx, answer(0)); err != errLost || l.StopBy() != stopBy {
			t.Error(err)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestOneLimit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ limit, kill, stop, interval time.Duration }{
		{time.Minute, 2 * time.Second, 57500 * time.Millisecond, 58 * time.Second / 3},
		{4 * time.Second, time.Second, 2500 * time.Millisecond, time.Second},
		{0, 0, 0, 20 * time.Second},
	} {
		l, now := NewLimit(test.limit, 2*time.Second), time.Now()
		l.Renew(now)
		l.Renew(now.Add(-time.Second))
		stop := now.Add(test.stop)
		if test.stop == 0 {
			stop = time.Time{}
		}
		if !l.StopBy().Equal(stop) || l.Interval() != test.interval || l.Kill() != test.kill {
			t.Errorf("%v: stop at %v, ping after %v, kill %v", test.limit, l.StopBy().Sub(now), l.Interval(), l.Kill())
		}
	}
}

func TestEndOfSession(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(t, capability.Timeouts{Vanish: 30 * time.Second, Session: 20 * time.Second})
		time.Sleep(14500 * time.Millisecond)
		if err := l.Ping(t.Context(), answer(0)); err != ErrSession {
			t.Error(err)
		}
	})
}
