package scenarios

import (
	"sync"

	"github.com/sallyport/sallyport/protocol/scram"
)

// Users are the cast in memory.
type Users struct {
	mu        sync.Mutex
	verifiers map[string]scram.Verifier
	mock      *scram.Mock
}

// Cast returns the names of the users of a server in the process.
func Cast() []string {
	return []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mike"}
}

// Password is the password of a member of the cast.
func Password(name string) string { return name + "'s own secret" }

var stored = sync.OnceValue(func() map[string]scram.Verifier {
	all := map[string]scram.Verifier{}
	for _, name := range Cast() {
		v, err := scram.NewVerifier(Password(name), []byte("salt of "+name), scram.MinIterations)
		if err != nil {
			panic(err)
		}
		all[name] = v
	}
	return all
})

// NewUsers returns the whole cast.
func NewUsers() *Users {
	u := &Users{verifiers: map[string]scram.Verifier{}}
	var all []scram.Verifier
	for name, v := range stored() {
		u.verifiers[name] = v
		all = append(all, v)
	}
	u.mock = scram.NewMock([]byte("secret of the mock"), all)
	return u
}

// Lookup finds a user.
func (u *Users) Lookup(name string) (scram.Verifier, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if v, ok := u.verifiers[name]; ok {
		return v, true
	}
	return u.mock.Verifier(name), false
}

// Must returns what is stored of a member of the cast.
func (u *Users) Must(name string) scram.Verifier {
	v, ok := u.Lookup(name)
	if !ok {
		panic("nobody is called " + name)
	}
	return v
}

// Set stores a user; a zero verifier removes it.
func (u *Users) Set(name string, v scram.Verifier) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.verifiers[name] = v
	if v.Iterations == 0 {
		delete(u.verifiers, name)
	}
}
