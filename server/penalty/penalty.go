// Package penalty refuses, for a while, sources that leave without a login or guess passwords. It follows the
// PerSourcePenalties of OpenSSH 9.8. Start with [Book].
//
// Each fault of a source costs seconds. Their sum decays by one second per second. When it reaches [Begins],
// a penalty of that length begins. A penalty lasts at most [Longest], and nothing that happens meanwhile
// makes it longer. There are two penalties, because they have different remedies:
//
//   - A source that leaves without a login can't connect. The next such penalty begins [Begins] after the end of
//     one, or later.
//   - A source that guesses passwords can't log in. After a penalty each name has one login from this source,
//     even if the next penalty has begun.
//
// After a penalty no other begins for [Open], whatever others do at the same address, and two at the same time
// end together. In that time each login is tried. The second penalty is one of the source and, after the first
// time, one of each pair of source and name: the pair is kept out that has had its login. A pair has no costs of
// its own. They would begin a penalty for a user who mistypes a password sooner than [Book.Free] allows, and the
// source's costs already count each of its guesses. No penalty depends on a name alone, or on whether the user
// exists.
//
// # A user at the address of an attacker
//
// The user's client can't be told from the attacker's before its proof. This holds:
//
//   - A client that tries at least every [Open] is kept out by penalties for at most [Longest], and then until its
//     next try. The attacker may know the name.
//   - A client that tries less often, but at least every [Begins], is kept out for at most four minutes if the
//     attacker does not know the name, and does not use up the 1,024 names that a source can have. If it does, the
//     client gets in only when a try meets the time that is open, which is [Open] in each minute. There is no bound
//     for that.
//   - The attacker can guess for [Open] in each minute as fast as the server answers, and once for each name, for
//     at most 1,024 names. To bound the guesses as well would let the attacker use them up before the user's try.
//
// A penalty is not the only way to keep out a user of the same address: see package lobby for the places of a
// source.
package penalty

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"
)

const (
	// Begins is the sum of costs at which a penalty begins.
	Begins = 15 * time.Second
	// Longest is the maximum of a penalty, and of the sum.
	Longest = time.Minute
	// Open is the time after a penalty in which no other begins.
	Open = 3 * time.Second

	costLeave   = time.Second
	costTimeout = 5 * time.Second
	costGuess   = 5 * time.Second

	// maxSources bounds the number of sources in a Book, maxNames that of the names of each.
	maxSources = 4096
	maxNames   = 1024
)

// Book has the faults of sources, which are prefixes of addresses. Set the fields before the first use. It is
// safe for concurrent use. Its memory is bounded: beyond 4,096 sources it forgets one with few faults.
type Book struct {
	// Free is the number of wrong passwords that cost nothing. A source regains one per second.
	Free int
	// Trust are the addresses that get no penalty.
	Trust []netip.Prefix

	mu      sync.Mutex
	seed    maphash.Seed
	sources map[netip.Prefix]*account
}

// account has the faults of a source.
type account struct {
	leaves, guesses term
	free            level // wrong passwords that cost nothing
	// passed has the names, as hashes, that have had their login since the last penalty for guesses ended.
	passed map[uint64]struct{}
	ended  time.Time // when that was; zero before the first one has
}

// level is a number that decays by one per second.
type level struct {
	value float64
	at    time.Time
}

func (l level) now(t time.Time) float64 { return max(0, l.value-t.Sub(l.at).Seconds()) }

func (l *level) add(n float64, t time.Time) { *l = level{l.now(t) + n, t} }

// term is the sum of costs, and the penalty that began last.
type term struct {
	sum   level
	until time.Time
}

func (p *term) active(now time.Time) bool { return now.Before(p.until) }

// paused reports whether the penalty has ended, and within that time.
func (p *term) paused(within time.Duration, now time.Time) bool {
	return !p.active(now) && now.Before(p.until.Add(within))
}

// add adds a cost. No penalty begins during one, within the pause after one, or in the time that is open after the
// other kind. It ends with the other kind, so that both together keep no source out for longer than one.
func (p *term) add(cost, pause time.Duration, other *term, now time.Time) {
	p.sum.add(cost.Seconds(), now)
	p.sum.value = min(p.sum.value, Longest.Seconds())
	if p.sum.value < Begins.Seconds() || p.active(now) || p.paused(pause, now) || other.paused(Open, now) {
		return
	}
	p.until = now.Add(time.Duration(p.sum.value * float64(time.Second)))
	if other.active(now) && other.until.Before(p.until) {
		p.until = other.until
	}
}

// Leave counts a connection that has ended without a login, at the login's deadline or before.
func (b *Book) Leave(from netip.Prefix, timedOut bool) {
	cost := costLeave
	if timedOut {
		cost = costTimeout
	}
	b.update(from, func(a *account, now time.Time) { a.leaves.add(cost, Begins, &a.guesses, now) })
}

// RefusesConn reports whether the source can't connect now.
func (b *Book) RefusesConn(from netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.sources[from]
	return a != nil && a.leaves.active(time.Now())
}

// Guess counts a wrong password.
func (b *Book) Guess(from netip.Prefix) {
	b.update(from, func(a *account, now time.Time) {
		if a.free.now(now) <= float64(b.Free-1) {
			a.free.add(1, now)
			return
		}
		a.settle(now)
		a.guesses.add(costGuess, Open, &a.leaves, now)
	})
}

// RefusesLogin reports whether the source can't log in with this name now. If it returns false after a
// penalty, that was the one login of the name.
func (b *Book) RefusesLogin(from netip.Prefix, name string) (refused bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, now := b.sources[from], time.Now()
	if a == nil {
		return false
	}
	a.settle(now)
	if a.ended.IsZero() {
		return a.guesses.active(now)
	}
	hash := maphash.String(b.seed, name)
	_, passed := a.passed[hash]
	if a.guesses.active(now) && (passed || len(a.passed) >= maxNames) {
		return true
	}
	if len(a.passed) < maxNames {
		a.passed[hash] = struct{}{}
	}
	return false
}

// Active returns the number of sources that have a penalty now.
func (b *Book) Active() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for _, a := range b.sources {
		if a.leaves.active(now) || a.guesses.active(now) {
			n++
		}
	}
	return n
}

// settle notes that a penalty for guesses has ended.
func (a *account) settle(now time.Time) {
	if until := a.guesses.until; !until.IsZero() && !now.Before(until) && !a.ended.Equal(until) {
		a.ended, a.passed = until, map[uint64]struct{}{}
	}
}

// trusts reports whether all addresses of the source are trusted.
func (b *Book) trusts(from netip.Prefix) bool {
	for _, t := range b.Trust {
		if t.Bits() <= from.Bits() && t.Contains(from.Addr()) {
			return true
		}
	}
	return false
}

func (b *Book) update(from netip.Prefix, change func(*account, time.Time)) {
	if b.trusts(from) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	if b.sources == nil {
		b.sources, b.seed = map[netip.Prefix]*account{}, maphash.MakeSeed()
	}
	a := b.sources[from]
	if a == nil {
		b.makeRoom(now)
		a = &account{}
		b.sources[from] = a
	}
	change(a, now)
}

// makeRoom forgets a source if there are too many: of a few, which the map gives in random order, the one with
// the fewest faults. To look at all of them would take longer than a login.
func (b *Book) makeRoom(now time.Time) {
	if len(b.sources) < maxSources {
		return
	}
	var least netip.Prefix
	weight, looked := -1.0, 0
	for from, a := range b.sources {
		if w := a.weight(now); weight < 0 || w < weight {
			least, weight = from, w
		}
		if looked++; looked == 32 {
			break
		}
	}
	delete(b.sources, least)
}

// weight returns the value of an account: makeRoom forgets the lightest ones first.
func (a *account) weight(now time.Time) float64 {
	return max(0, a.leaves.sum.now(now), a.guesses.sum.now(now), a.free.now(now),
		a.leaves.until.Sub(now).Seconds(), a.guesses.until.Sub(now).Seconds())
}
