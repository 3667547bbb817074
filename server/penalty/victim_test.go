package penalty

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

const tick = 100 * time.Millisecond

// An attack is what an attacker does in each tick to keep a user of its own address out. It may look into the Book.
type attack func(b *Book, number int)

// guesses guesses the password of alice and of other names, if it can.
func guesses(b *Book, number int) {
	for _, name := range []string{"alice", strconv.Itoa(3 * number), strconv.Itoa(3*number + 1), strconv.Itoa(3*number + 2)} {
		if !b.RefusesConn(attacker) && !b.RefusesLogin(attacker, name) {
			b.Guess(attacker)
		}
	}
}

// leaves leaves without a login, if it can.
func leaves(b *Book, _ int) {
	if !b.RefusesConn(attacker) {
		b.Leave(attacker, true)
	}
}

// both does the first attack always, and the second when it may.
func both(first, second attack, may func(b *Book, number int) bool) attack {
	return func(b *Book, number int) {
		first(b, number)
		if may(b, number) {
			second(b, number)
		}
	}
}

func attacks() map[string]attack {
	chance := func(_ *Book, number int) bool { return rand.New(rand.NewPCG(1, uint64(number))).IntN(300) == 0 }
	account := func(b *Book) *account {
		b.update(attacker, func(*account, time.Time) {})
		return b.sources[attacker]
	}
	ends := func(p term) bool { return time.Until(p.until) < 2*tick }
	return map[string]attack{
		"guesses": guesses,
		"leaves":  leaves,
		"both":    both(guesses, leaves, func(*Book, int) bool { return true }),
		"takes turns": func(b *Book, number int) {
			if time.Duration(number)*tick/(75*time.Second)%2 == 0 {
				guesses(b, number)
			} else {
				leaves(b, number)
			}
		},
		"leaves as a penalty ends":  both(guesses, leaves, func(b *Book, _ int) bool { return ends(account(b).guesses) }),
		"guesses as a penalty ends": both(leaves, guesses, func(b *Book, _ int) bool { return ends(account(b).leaves) }),
		"leaves at random":          both(guesses, leaves, chance),
		"guesses at random":         both(leaves, guesses, chance),
	}
}

// keptOut returns how long a user is kept out in half an hour, at most: from a try that is refused to the next one
// that isn't. The attacker is always first.
func keptOut(b *Book, attack attack, user string, every time.Duration) (longest time.Duration) {
	began, since := time.Now(), time.Time{}
	for i := range int(30 * time.Minute / tick) {
		time.Sleep(tick)
		attack(b, i)
		now := time.Now()
		if now.Sub(began)%every != 0 {
			continue
		}
		refused := b.RefusesConn(attacker) || b.RefusesLogin(attacker, user)
		if refused && since.IsZero() {
			since = now
		}
		if !since.IsZero() {
			longest = max(longest, now.Sub(since))
		}
		if !refused {
			since = time.Time{}
		}
	}
	return longest
}

// What an attacker can do to a user of its own address, as the package documentation has it. Alice is the user
// whose name the attacker knows.
func TestUserAtTheAddressOfAnAttacker(t *testing.T) {
	for _, c := range []struct {
		user         string
		every, limit time.Duration
	}{
		{"alice", time.Second, Longest + time.Second},
		{"alice", Open, Longest + Open},
		{"carol", time.Second, Longest + time.Second},
		{"carol", 7 * time.Second, 4 * time.Minute},
		{"carol", Begins, 4 * time.Minute},
	} {
		for name, attack := range attacks() {
			t.Run(c.user+" tries every "+c.every.String()+" and the attacker "+name, func(t *testing.T) {
				inTime(t, 1, func(t *testing.T, b *Book) {
					switch longest := keptOut(b, attack, c.user, c.every); {
					case longest > c.limit:
						t.Errorf("kept out for %v, want at most %v", longest, c.limit)
					case longest < Begins:
						t.Errorf("kept out for %v: the attack is none", longest)
					}
				})
			})
		}
	}
}

// The user whose name is known, and who tries so rarely that each try meets a penalty.
func TestUserWhoTriesRarelyHasNoBound(t *testing.T) {
	inTime(t, 1, func(t *testing.T, b *Book) {
		if longest := keptOut(b, guesses, "alice", 7*time.Second); longest < 20*time.Minute {
			t.Errorf("kept out for %v: the documentation says that there is no bound", longest)
		}
	})
}
