package penalty

import (
	"net/netip"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

var (
	attacker = netip.MustParsePrefix("192.0.2.1/32")
	other    = netip.MustParsePrefix("192.0.2.2/32")
)

// inTime runs a test in synthetic time.
func inTime(t *testing.T, free int, test func(t *testing.T, b *Book)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, &Book{Free: free}) })
}

func want(t *testing.T, what string, got, want bool) {
	t.Helper()
	if got != want {
		t.Errorf("%s: refused is %t", what, got)
	}
}

func TestLeavingIsPenalised(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 14 {
			b.Leave(attacker, false)
		}
		want(t, "fourteen times", b.RefusesConn(attacker), false)
		b.Leave(attacker, false)
		want(t, "the fifteenth time", b.RefusesConn(attacker), true)
		want(t, "another source", b.RefusesConn(other), false)
		want(t, "a login", b.RefusesLogin(attacker, "alice"), false)
		time.Sleep(14 * time.Second)
		want(t, "after 14 s", b.RefusesConn(attacker), true)
		time.Sleep(time.Second)
		want(t, "after 15 s", b.RefusesConn(attacker), false)
	})
}

func TestLeavesDecay(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 1000 { // such as a health check
			b.Leave(attacker, false)
			want(t, "one a second", b.RefusesConn(attacker), false)
			time.Sleep(time.Second)
		}
	})
}

func TestTimeoutsCostMore(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 3 {
			want(t, "before", b.RefusesConn(attacker), false)
			b.Leave(attacker, true)
		}
		want(t, "the third", b.RefusesConn(attacker), true)
	})
}

// A penalty grows to a minute. What happens meanwhile makes it no longer, and afterwards there is a pause.
func TestPenaltyIsAtMostAMinute(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 14 {
			b.Leave(attacker, false)
		}
		for range 1000 {
			b.Leave(attacker, true)
		}
		time.Sleep(18 * time.Second) // the first penalty is of 14 and 5 s
		want(t, "still", b.RefusesConn(attacker), true)
		time.Sleep(time.Second)
		want(t, "lengthened", b.RefusesConn(attacker), false)
		for range 150 {
			b.Leave(attacker, true)
			want(t, "in the pause", b.RefusesConn(attacker), false)
			time.Sleep(100 * time.Millisecond)
		}
		b.Leave(attacker, true)
		want(t, "after the pause", b.RefusesConn(attacker), true)
		time.Sleep(Longest - time.Second)
		want(t, "59 s", b.RefusesConn(attacker), true)
		time.Sleep(time.Second)
		want(t, "60 s", b.RefusesConn(attacker), false)
	})
}

func TestGuessesArePenalised(t *testing.T) {
	inTime(t, 4, func(t *testing.T, b *Book) {
		for range 6 { // four are free, and two cost ten seconds
			b.Guess(attacker)
		}
		want(t, "six", b.RefusesLogin(attacker, "alice"), false)
		b.Guess(attacker)
		want(t, "seven", b.RefusesLogin(attacker, "alice"), true)
		want(t, "another name", b.RefusesLogin(attacker, "bob"), true)
		want(t, "the same name from elsewhere", b.RefusesLogin(other, "alice"), false)
		want(t, "a connection", b.RefusesConn(attacker), false)
		time.Sleep(Begins)
		want(t, "afterwards", b.RefusesLogin(attacker, "alice"), false)
	})
}

func TestFreeGuessesComeBack(t *testing.T) {
	inTime(t, 2, func(t *testing.T, b *Book) {
		for range 1000 {
			b.Guess(attacker)
			want(t, "one a second", b.RefusesLogin(attacker, "alice"), false)
			time.Sleep(time.Second)
		}
	})
}

// A user who shares the address of an attacker is kept out for a minute at most, though the attacker begins the
// next penalty at once. Each name has one login in that time, known or not.
func TestOneLoginOfEachNameIsLetThrough(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 4 {
			b.Guess(attacker)
		}
		want(t, "the first penalty", b.RefusesLogin(attacker, "alice"), true)
		for range 3 {
			time.Sleep(Longest)
			for range 100 {
				b.Guess(attacker)
			}
			for _, name := range []string{"alice", "nobody"} {
				want(t, "the login of "+name, b.RefusesLogin(attacker, name), false)
				want(t, "the next login of "+name, b.RefusesLogin(attacker, name), true)
			}
		}
	})
}

// A login after a penalty is the one login of its name, also if the next penalty begins later.
func TestLoginBetweenPenaltiesCounts(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 4 {
			b.Guess(attacker)
		}
		time.Sleep(Longest)
		want(t, "between", b.RefusesLogin(attacker, "alice"), false)
		for range 4 {
			b.Guess(attacker)
		}
		want(t, "again", b.RefusesLogin(attacker, "alice"), true)
	})
}

func TestTrustedSourcesGetNoPenalty(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		b.Trust = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/31"), netip.MustParsePrefix("2001:db8::1/128")}
		part := netip.MustParsePrefix("2001:db8::/56") // of which one address is trusted
		for range 100 {
			for _, source := range []netip.Prefix{attacker, other, part} {
				b.Leave(source, true)
				b.Guess(source)
			}
		}
		want(t, "trusted", b.RefusesConn(attacker) || b.RefusesLogin(attacker, "alice"), false)
		want(t, "another", b.RefusesConn(other) && b.RefusesLogin(other, "alice"), true)
		want(t, "a part", b.RefusesConn(part), true)
	})
}

// An attacker who fails from ever other addresses, with ever other names, fills no memory, and doesn't make the
// Book forget the source that fails most.
func TestBookIsBounded(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		for range 4 {
			b.Guess(attacker)
		}
		time.Sleep(Longest)
		for range 20 {
			b.Guess(attacker)
		}
		for i := range 2 * maxNames {
			want(t, "name "+strconv.Itoa(i), b.RefusesLogin(attacker, strconv.Itoa(i)), i >= maxNames)
		}
		for i := range 2 * maxSources {
			b.Leave(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), false)
		}
		if n := len(b.sources); n != maxSources {
			t.Errorf("%d sources are remembered, want %d", n, maxSources)
		}
		want(t, "the worst of all", b.RefusesLogin(attacker, "0"), true)
	})
}
