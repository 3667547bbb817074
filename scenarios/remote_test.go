package scenarios

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

func TestReadUsers(t *testing.T) {
	t.Parallel()
	var got Remote
	err := got.ReadUsers(strings.NewReader("# mine\n\nalice:one: two \r\nbob=bert:fourteen=14\n"))
	noError(t, err)
	want := Remote{
		Passwords: map[string]string{"alice": "one: two ", "bob": "fourteen=14"},
		Users:     map[string]string{"bob": "bert"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestReadUsersRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# x\nS3cret\n":                     "2: the line is not MEMBER:PASSWORD or",
		"S3cret:x\n":                        "1: the line is not",
		"alice:\n":                          "1: the line is not",
		"alice=:S3cret\n":                   "1: the line is not",
		"alice:S3cret S3cret\n\nalice:x\n":  "3: alice is there twice",
		"bob:S3creté\n":                     "1: the password of bob has fewer than 8 characters",
		"alice:" + strings.Repeat("x", 1e5): "token too long",
	} {
		err := new(Remote).ReadUsers(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "S3cret") {
			t.Errorf("%.20q: got %v, want %s", text, err, want)
		}
	}
}

func startHost(t *testing.T) *host { return startHostWith(t, nil) }

func startHostWith(t *testing.T, configure func(*server.Server)) *host {
	t.Helper()
	h, err := newStage(&Scenario{File: "server"}, nil, &Target{Configure: configure}, time.Now()).own()
	noError(t, err)
	t.Cleanup(func() { _ = h.stop() })
	return h
}

// elsewhere is a server that runs already, on which alice's user has another name.
func elsewhere(t *testing.T) *Remote { return elsewhereOf(startHost(t)) }

func elsewhereOf(h *host) *Remote {
	return &Remote{
		Addr: h.Addr, Roots: h.roots,
		Passwords: map[string]string{"alice": testserver.Password("grace"), "bob": testserver.Password("bob")},
		Users:     map[string]string{"alice": "grace"},
	}
}

func TestRunElsewhere(t *testing.T) {
	t.Parallel()
	s := suiteOf(t,
		"alice login\nalice ask WHOAMI\nalice hears 250 ^$alice_user'$'\nalice quit\n[own] log verify",
		"alice login\nalice ask ECHO $alice_password\nalice hears 250 $bob_password",
		"server depth=1\nalice login",
		"carol login",
		"carol connect\ncarol hears 220\ncarol authenticates",
		"matrix tls=1.2,1.3\nalice login",
		"mallory unaltered\nmallory hears 235\nmallory sends WHOAMI\nmallory hears 250 ^grace'$'\nmallory hangs-up reset",
		"mallory proof flip=3\nmallory hears 535",
		"mallory serves alice\nalice login\nmallory steps-aside alice\nalice login\nalice quit",
		"mallory serves alice\nalice login\nbob login\nbob quit",
		"mallory stands-between alice\n! alice login\nalice ends 535\nalice login binding=none\nalice quit",
		"mallory serves alice signature flip=0\n! alice login\nalice ends server-unverified",
		"mallory awaits alice\nalice login &\nmallory seats\nwait",
	)
	s.Target = &Target{Remote: elsewhere(t)}
	const noPassword, ownTLS, noServer = "the users file has no password of carol",
		"it needs a server of its own, to choose tls", "it uses no server: Mallory is in its place"
	want := []string{
		"0 passed ", "1 failed ", `2 skipped it needs a server of its own, for "server"`, "3 skipped " + noPassword, "4 skipped " + noPassword,
		"5 [tls=1.2] skipped " + ownTLS, "5 [tls=1.3] skipped " + ownTLS, "6 passed ", "7 passed ", "8 passed ", "9 passed ", "10 passed ",
		"11 skipped " + noServer, "12 skipped " + noServer,
	}
	if diff := cmp.Diff(want, outcomes(t.Context(), s)); diff != "" {
		t.Error(diff)
	}
	delete(s.Target.Remote.Passwords, "alice") // whose password Mallory needs
	if r := runOne(t, "mallory unaltered", s.Target); r.Status != Skipped {
		t.Errorf("without alice's password: %s", r.Status)
	}
}

// shown returns all texts of a result.
func shown(r *Result) string {
	all := []string{r.Reason, errorText(r.Err), r.Transcript}
	for _, step := range r.Steps {
		all = append(all, step.Text, step.Err)
	}
	for _, e := range r.Exchanges {
		all = append(all, e.Text)
	}
	return strings.Join(all, "\n")
}

// The control is the same run against a server in the process, whose passwords are no secret.
func TestResultHasNoPassword(t *testing.T) {
	t.Parallel()
	const script = "alice login\nalice ask ECHO $alice_password\nalice hears 250 -> it\nalice ask ECHO 'x '$alice_password\nalice hears 250 ^$bob_password\n"
	for _, remote := range []*Remote{nil, elsewhere(t)} {
		r := runOne(t, script, &Target{Remote: remote})
		if r.Status != Failed || !strings.Contains(r.Err.Error(), "0.txtar:6: alice hears 250") {
			t.Fatalf("%s %v", r.Status, r.Err)
		}
		if strings.Contains(shown(&r), "own secret") != (remote == nil) {
			t.Errorf("elsewhere %t: the result is %s", remote != nil, shown(&r))
		}
	}
}

// A password with characters that a pattern, a quote or a script replaces, and one that is a word.
func TestNoFormOfAPasswordIsShown(t *testing.T) {
	t.Parallel()
	for _, password := range []string{`p.s+(x)'y"z\d`, "password", "$alice_p"} {
		remote := elsewhere(t)
		remote.Passwords = map[string]string{"alice": password}
		for script, want := range map[string]string{
			"skip $alice_password":                                        "$alice_password",
			"alice notices $alice_password":                               "$alice_password",
			"alice connect\nalice sends QUIT\nalice ends $alice_password": "$alice_password",
			"alice connect\nalice hears 220 $alice_password":              "$alice_password",
			"alice sends-part hex:$alice_password":                        "$alice_password",
			"alice ask-body hex:$alice_password ECHO":                     "$alice_password",
			"env it=$alice_password\nenv\necho $it\nstdout other":         "it=$alice_password",
		} {
			r := runOne(t, script, &Target{Remote: remote, Timeout: 5 * time.Second})
			text := strings.ReplaceAll(shown(&r), "_password", "")
			text = strings.ReplaceAll(text, "$alice_p", "")
			if r.Status == Passed || strings.Contains(text, password) || strings.Contains(text, `p\.s`) || !strings.Contains(shown(&r), want) {
				t.Errorf("%s: %q shows %s", password, script, text)
			}
		}
	}
}

// A word that happens to be a password stays, as long as the script has not used the password: otherwise the gap
// would tell what it is.
func TestNothingIsSearchedForAPassword(t *testing.T) {
	t.Parallel()
	remote := elsewhere(t)
	remote.Passwords["bob"] = "laborato"
	const script = "alice login\nalice ask ECHO 'the laboratory'\nalice hears 250 ^the' 'laboratory'$'\n"
	r := runOne(t, script, &Target{Remote: remote})
	if text := shown(&r); strings.Contains(text, "$") && strings.Contains(text, "_password") || !strings.Contains(text, "the laboratory") {
		t.Error(text)
	}
}

// The password is in what is sent, and in what is compared with it, and not only its name.
func TestPasswordIsSent(t *testing.T) {
	t.Parallel()
	remote := elsewhere(t)
	heard := func(script string) string {
		t.Helper()
		r := runOne(t, script, &Target{Remote: remote, Timeout: 5 * time.Second})
		if r.Status != Passed {
			t.Errorf("%q: %v", script, r.Err)
		}
		return shown(&r)
	}
	size := len("x" + remote.Passwords["alice"])
	for _, script := range []string{
		"alice login\nalice ask-body x$alice_password ECHO\nalice hears-body x$alice_password\n",
		"alice login password=$alice_password\nalice ask ECHO x$alice_password\nalice hears 250 ^x$alice_password'$' -> it\nalice ask ECHO $it$it\nalice hears 250 ^$it$it'$'\n",
		"alice connect\nalice authenticates\nalice hears 235\nalice sends 'ECHO '$alice_password 'BODY " + strconv.Itoa(size) + " ECHO'\nalice hears 250 ^$alice_password'$'\nalice sends-part x$alice_password\nalice hears-body x$alice_password\n",
		"alice connect\nalice drips 'EHLO x'$alice_password\n",
		"bob connect tls=none\nbob sends-part $alice_password\neve saw $alice_password\n",
	} {
		if text := heard(script); strings.Contains(text, "own secret") || !strings.Contains(text, "$alice_password") {
			t.Errorf("%q shows %s", script, text)
		}
	}
	r := runOne(t, "bob connect tls=none\nbob sends-part $alice_password\neve saw $alice_password\n", &Target{Remote: remote})
	for _, e := range r.Exchanges {
		if strings.Contains(string(e.Wire), "own secret") {
			t.Errorf("the bytes of %q have it: %q", e.Text, e.Wire)
		}
	}
}

// A server that has only verifiers learns no password: neither by sending the name of the variable, nor because
// a script has the name in quotes. The control is the last request.
func TestPasswordIsSentOnlyWhereTheScriptHasItsVariable(t *testing.T) {
	t.Parallel()
	const name = "$alice_password"
	heard := make(chan string, 9)
	remote := elsewhereOf(startHostWith(t, func(s *server.Server) {
		s.Handler = server.HandlerFunc(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
			heard <- r.Argument + string(r.Body)
			return protocol.Reply{Text: name}, nil
		})
	}))
	r := runOne(t, "alice login\nalice ask TICKET\nalice hears 250 -> ticket\nalice ask USE $ticket\nalice hears 250 $ticket\n"+
		"alice ask-body 'a '$ticket USE\nalice hears 250 '\\$alice_password'\nalice ask USE 'a $alice_password'\nalice hears 250\n"+
		"alice ask-body hex:24616c6963655f70617373776f7264 USE\nalice hears 250\nalice ask USE $alice_password\nalice hears 250", &Target{Remote: remote})
	if r.Status != Passed {
		t.Fatal(r.Err)
	}
	close(heard)
	got := slices.Collect(func(yield func(string) bool) {
		for one := range heard {
			if !yield(one) {
				return
			}
		}
	})
	if diff := cmp.Diff([]string{"", name, "a " + name, "a " + name, name, remote.Passwords["alice"]}, got); diff != "" {
		t.Error(diff)
	}
}

// A peer that has learned a token can't use it.
func TestTokenOfAPeerMeansNothing(t *testing.T) {
	t.Parallel()
	s := newSecrets(&Remote{Passwords: map[string]string{"alice": "correct horse"}})
	token := s.value("correct horse")
	s.use([]string{token})
	if got := s.reveal(s.hide("a " + token + " and correct horse")); got != "a $alice_password and correct horse" {
		t.Error(got)
	}
}

func TestReach(t *testing.T) {
	t.Parallel()
	good := elsewhere(t)
	if err := good.Reach(t.Context()); err != nil {
		t.Errorf("got %v of a good server", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	noError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for want, err := range map[string]error{
		"deadline exceeded":           (&Remote{Addr: l.Addr().String()}).Reach(ctx),
		"signed by unknown authority": (&Remote{Addr: good.Addr}).Reach(t.Context()),
		"missing port in address":     (&Remote{Addr: "127.0.0.1"}).Reach(t.Context()),
	} {
		if _, ok := errors.AsType[*client.ConnectError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want a ConnectError with %s", err, want)
		}
	}
}

// After a reload, clients that trust only the old certificate can't connect.
func TestReload(t *testing.T) {
	t.Parallel()
	h := startHost(t)
	trusting := &Remote{Addr: h.Addr, Roots: h.trusted()}
	noError(t, trusting.Reach(t.Context()))
	noError(t, h.reload())
	if trusting.Reach(t.Context()) == nil {
		t.Error("the server still has its old certificate")
	}
}
