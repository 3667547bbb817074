package scenarios

import (
	"cmp"
	"crypto/rand"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/protocol"
)

// secrets are the passwords of a server elsewhere. A script sees tokens in their place: the value of
// $alice_password is a random token of this run, which reveal replaces by the password in what is sent. No peer
// knows a token, so that a password goes only where the script has put its variable. A peer may send back a
// password that the script has used: hide replaces it by the token, which compares as the variable does. People
// see the variable's name, by show. The zero secrets are for a server in the process, whose passwords are not
// secret. They replace nothing.
type secrets struct {
	// all begins with the longest password, because one password may be part of another.
	all []secret

	mu sync.Mutex
	// used has the tokens of the passwords that the script has used. The peer knows no others from this run.
	used map[string]bool
}

type secret struct{ name, token, password string }

func newSecrets(remote *Remote) *secrets {
	s := &secrets{used: map[string]bool{}}
	if remote == nil {
		return s
	}
	for member, password := range remote.Passwords {
		s.all = append(s.all, secret{"$" + member + "_password", rand.Text(), password})
	}
	slices.SortFunc(s.all, func(a, b secret) int {
		return cmp.Or(cmp.Compare(len(b.password), len(a.password)), strings.Compare(a.name, b.name))
	})
	return s
}

// value returns the value of the variable for the password of a member. Members with the same password have the
// same value, because a peer's text does not tell whose password is in it.
func (s *secrets) value(password string) string {
	for _, one := range s.all {
		if one.password == password {
			return one.token
		}
	}
	return password
}

// use notes the secrets that are in the arguments of a command.
func (s *secrets) use(args []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		for _, arg := range args {
			s.used[one.token] = s.used[one.token] || strings.Contains(arg, one.token)
		}
	}
}

// reveal returns a text as it is sent, with passwords in place of their tokens.
func (s *secrets) reveal(text string) string {
	var pairs []string
	for _, one := range s.all {
		pairs = append(pairs, one.token, one.password)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// hide returns a text of a peer, with tokens in place of the passwords that the script has used. A token that the
// peer sends means nothing.
func (s *secrets) hide(text string) string {
	return s.without(text, func(one secret) string { return one.token })
}

// show returns a text as people see it, with the names of variables in place of tokens, and of the passwords that
// the script has used.
func (s *secrets) show(text string) string {
	return s.without(text, func(one secret) string { return one.name })
}

// without replaces the tokens in a text by their names, and the passwords that the script has used by what
// instead returns.
func (s *secrets) without(text string, instead func(secret) string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var pairs []string
	for _, one := range s.all {
		pairs = append(pairs, one.token, one.name)
		if s.used[one.token] {
			pairs = append(pairs, one.password, instead(one))
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// reveal reveals the options of a login.
func (st *stage) reveal(o options) {
	for key := range o {
		o[key] = st.secrets.reveal(o[key])
	}
}

func (s *secrets) hideReply(r protocol.Reply) protocol.Reply {
	r.Text = s.hide(r.Text)
	if r.Body != nil {
		r.Body = []byte(s.hide(string(r.Body)))
	}
	return r
}

// hideError is hide for an error that may have a text of the peer's.
func (s *secrets) hideError(err error) error { return changeText(err, s.hide) }

// showError is show for an error.
func (s *secrets) showError(err error) error { return changeText(err, s.show) }

// changeText returns the error with its text changed.
func changeText(err error, change func(string) string) error {
	if err == nil {
		return nil
	}
	if text := change(err.Error()); text != err.Error() {
		return hiddenError{text, err}
	}
	return err
}

type hiddenError struct {
	text  string
	cause error
}

func (e hiddenError) Error() string { return e.text }
func (e hiddenError) Unwrap() error { return e.cause }
