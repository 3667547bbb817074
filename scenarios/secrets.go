package scenarios

import (
	"cmp"
	"slices"
	"strings"
	"sync"

	"github.com/sallyport/sallyport/protocol"
)

// secrets are the passwords of a server elsewhere. A script sees names in their place: the value of
// $alice_password is a name, which reveal replaces by the password in what is sent. A peer may send a
// password back. hide replaces it by the name again. The zero secrets are for a server in the process, whose
// passwords are not secret. They replace nothing.
type secrets struct {
	// all begins with the longest password, because one password may be part of another.
	all []secret

	mu sync.Mutex
	// named has the passwords that the script has used. The peer knows no others from this run.
	named map[string]bool
}

type secret struct{ name, password string }

func newSecrets(remote *Remote) *secrets {
	s := &secrets{named: map[string]bool{}}
	if remote == nil {
		return s
	}
	for member, password := range remote.Passwords {
		s.all = append(s.all, secret{"$" + member + "_password", password})
	}
	slices.SortFunc(s.all, func(a, b secret) int {
		return cmp.Or(cmp.Compare(len(b.password), len(a.password)), strings.Compare(a.name, b.name))
	})
	return s
}

// value returns the value of the variable for the password of a member. Members with the same password have the
// same value, because a peer's text does not tell whose password is in it.
func (s *secrets) value(member, password string) string {
	for _, one := range s.all {
		if one.password == password {
			return one.name
		}
	}
	return password
}

// use notes the secrets that the arguments of a command name.
func (s *secrets) use(args []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		for _, arg := range args {
			s.named[one.name] = s.named[one.name] || strings.Contains(arg, one.name)
		}
	}
}

// reveal returns a text as it is sent, with passwords in place of their names.
func (s *secrets) reveal(text string) string {
	for _, one := range s.all {
		text = strings.ReplaceAll(text, one.name, one.password)
	}
	return text
}

// hide returns a text that may come from a peer, with names in place of the passwords that the script has used.
func (s *secrets) hide(text string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.all {
		if s.named[one.name] {
			text = strings.ReplaceAll(text, one.password, one.name)
		}
	}
	return text
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

// hideError returns an error whose text has no secret.
func (s *secrets) hideError(err error) error {
	if err == nil {
		return nil
	}
	if text := s.hide(err.Error()); text != err.Error() {
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
