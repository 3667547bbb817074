package testserver

import (
	"sync"

	"github.com/sallyport/sallyport/protocol/scram"
)

// keys caches the PBKDF2 results of all logins of the process.
var keys = new(scram.KeyCache)

// Users are users in memory. Make them with [NewUsers]. They are safe for concurrent use.
type Users struct {
	mu        sync.Mutex
	verifiers map[string]scram.Verifier
	mock      *scram.Mock
	failure   error
}

// Names returns the names of the users that [NewUsers] makes.
func Names() []string {
	return []string{"alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "mike"}
}

// Password returns the password of a user of [Names].
func Password(name string) string { return name + "'s own secret" }

var stored = sync.OnceValue(func() map[string]scram.Verifier {
	all := map[string]scram.Verifier{}
	for _, name := range Names() {
		v, err := scram.NewVerifier(Password(name), []byte("salt of "+name), scram.MinIterations)
		if err != nil {
			panic(err)
		}
		all[name] = v
	}
	return all
})

// NewUsers returns users of the names in [Names], each with its [Password].
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
func (u *Users) Lookup(name string) (v scram.Verifier, known bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if v, known = u.verifiers[name]; !known {
		v = u.mock.Verifier(name)
	}
	return v, known, u.failure
}

// Fail lets each following Lookup fail with err. Nil ends that.
func (u *Users) Fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.failure = err
}

// Set stores a user. The zero verifier removes it.
func (u *Users) Set(name string, v scram.Verifier) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.verifiers[name] = v
	if v.Iterations == 0 {
		delete(u.verifiers, name)
	}
}
