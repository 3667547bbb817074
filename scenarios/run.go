package scenarios

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/tools/txtar"
	"rsc.io/script"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
)

// Target is the server that scenarios run against. The zero Target starts a server in the process for each.
type Target struct {
	// Remote is a server that runs already. Nil means a server in the process.
	Remote *Remote
	// Configure changes the server in the process before it starts: set Handler to test your own. The
	// options of a scenario's "server" line take effect after it. The engine sets the users, the interaction
	// log and OnSay. Nil changes nothing.
	Configure func(*server.Server)
	// Timeout bounds each step. Zero means 10 s.
	Timeout time.Duration
	// Keep is a folder that keeps the files of each run. Empty means that a run removes its files.
	Keep string
}

func (t *Target) timeout() time.Duration { return cmp.Or(t.Timeout, 10*time.Second) }

// lacks returns the reason why a scenario can't run against the target. Empty means that it can.
func (t *Target) lacks(s *Scenario) string {
	if t.Remote == nil {
		return ""
	}
	if s.Owns != "" {
		return s.Owns
	}
	for _, name := range s.Cast {
		if _, ok := t.Remote.Passwords[name]; !ok {
			return fmt.Sprintf("the users file has no password of %s", name)
		}
	}
	return ""
}

func (t *Target) workdir(s *Scenario, choice Combination) (string, error) {
	if t.Keep == "" {
		return os.MkdirTemp("", "sallyport-scenario-")
	}
	name := strings.NewReplacer("/", "-", " ", "-", "=", "").Replace(s.Name + " " + choice.String())
	name = strings.Trim(name, "-")
	if !filepath.IsLocal(name) || name == "." { // the scenario's file may have any name
		return "", fmt.Errorf("%s: %w", s.File, errOutside(name))
	}
	dir := filepath.Join(t.Keep, name)
	return dir, os.MkdirAll(dir, 0o700)
}

// Remote is a server that runs already.
type Remote struct {
	// Addr is its host:port.
	Addr string
	// Roots are the certificate authorities to trust. Nil means the roots of the system.
	Roots *x509.CertPool
	// Passwords has the passwords, by the members of the cast.
	Passwords map[string]string
	// Users has the user names, by the members of the cast whose user has another name.
	Users map[string]string
}

// host returns the name that the certificate must have. The zone of an address is no part of it (RFC 4007 §11.2).
func (r *Remote) host() string {
	host, _, _ := net.SplitHostPort(r.Addr)
	host, _, _ = strings.Cut(host, "%")
	return host
}

// Reach makes a TLS connection and closes it. Its error is a [client.ConnectError].
func (r *Remote) Reach(ctx context.Context) error {
	dialer := tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: r.Roots, ServerName: r.host(), NextProtos: []string{protocol.ALPN},
	}}
	conn, err := dialer.DialContext(ctx, "tcp", r.Addr)
	if err != nil {
		return &client.ConnectError{Addr: r.Addr, Err: err}
	}
	_ = conn.Close()
	return nil
}

// MinPassword is the least number of characters of a password that reports and recordings hide. A shorter one may
// be part of other words, which then tell what it is.
const MinPassword = 8

// KeepsOut reports whether the server has a penalty for the address of this client. Scenarios leave without a
// login and guess passwords, as strangers do. With a penalty, the result of a run says nothing about the
// server.
func (r *Remote) KeepsOut(ctx context.Context, run *Result) bool {
	const throttled = "421 throttled"
	for _, e := range run.Exchanges {
		if strings.HasPrefix(e.Text, throttled) {
			return true
		}
	}
	if run.Err == nil {
		return false
	}
	return strings.Contains(run.Err.Error(), throttled) || turnedAway(r.Reach(ctx))
}

// maxUsers bounds a users file, in bytes.
const maxUsers = 64 << 10

// ReadUsers reads the users of the cast on a server: a line MEMBER:PASSWORD each, or MEMBER=USER:PASSWORD if
// the user has another name. A password has at least [MinPassword] characters. ReadUsers ignores empty lines
// and comments (#). No error contains a line, because a line may be a password.
func (r *Remote) ReadUsers(in io.Reader) error {
	r.Passwords, r.Users = map[string]string{}, map[string]string{}
	lines := bufio.NewScanner(io.LimitReader(in, maxUsers))
	for number := 1; lines.Scan(); number++ {
		line := lines.Text()
		if number == 1 {
			line = strings.TrimPrefix(line, "\ufeff") // Notepad's byte order mark
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		who, password, _ := strings.Cut(strings.TrimSuffix(line, "\r"), ":")
		member, user, other := strings.Cut(who, "=")
		_, twice := r.Passwords[member]
		switch {
		case !slices.Contains(clientNames(), member), password == "", other && user == "":
			return fmt.Errorf("%d: the line is not MEMBER:PASSWORD or MEMBER=USER:PASSWORD; the members are %s",
				number, strings.Join(clientNames(), " "))
		case twice:
			return fmt.Errorf("%d: %s is there twice", number, member)
		case utf8.RuneCountInString(password) < MinPassword:
			return fmt.Errorf("%d: the password of %s has fewer than %d characters, which a report can't hide", number, member, MinPassword)
		}
		r.Passwords[member] = password
		if other {
			r.Users[member] = user
		}
	}
	if lines.Err() != nil {
		return fmt.Errorf(" %w", lines.Err())
	}
	return nil
}

// Run runs a scenario in one of its combinations. The context bounds the whole run, the target's time-out
// each step. A failure is in the result.
func Run(ctx context.Context, s *Scenario, choice Combination, target *Target) (r Result) {
	r = Result{Scenario: s, Combination: choice, Start: time.Now()}
	defer func() { r.Duration = time.Since(r.Start) }()
	if r.Reason = target.lacks(s); r.Reason != "" {
		r.Status = Skipped
		return r
	}
	dir, err := target.workdir(s, choice)
	if err != nil {
		r.Status, r.Err = Failed, err
		return r
	}
	if target.Keep == "" {
		defer os.RemoveAll(dir)
	}
	st := newStage(s, choice, target, r.Start)
	err = st.act(ctx, dir, &r)
	r.Steps, r.Exchanges, r.Log = st.account()
	r.Status, r.Err = Passed, err
	var skip skipError
	if errors.As(err, &skip) {
		r.Status, r.Reason, r.Err = Skipped, st.secrets.show(string(skip)), nil
	} else if err != nil {
		r.Status = Failed
	}
	return r
}

// skipError ends a scenario that can't run in this combination.
type skipError string

func (s skipError) Error() string { return "skipped: " + string(s) }

// act runs the script, and ends everything that the script began.
func (st *stage) act(ctx context.Context, dir string, r *Result) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	st.ctx, st.dir = ctx, dir
	state, err := script.NewState(ctx, dir, st.environment(dir))
	if err != nil {
		return err
	}
	var account bytes.Buffer
	engine := &script.Engine{Cmds: st.commands(), Conds: st.conditions()}
	err = state.ExtractFiles(&txtar.Archive{Files: st.scenario.Files})
	if err == nil {
		err = withSuccess(engine.Execute(state, st.scenario.File, bufio.NewReader(&lines{stage: st}), &account))
	}
	st.leave()
	cancel()
	// The steps have the results of background commands. The engine's own result contains the faults that the
	// end of the run caused.
	_ = state.CloseAndWait(&account)
	err = errors.Join(err, st.unsettled(), st.close())
	r.Transcript = st.secrets.show(account.String())
	return st.secrets.showError(err)
}

var errSucceeded = errors.New("it succeeded, and had to fail")

// withSuccess replaces the engine's error for a ! command that succeeded by errSucceeded.
func withSuccess(err error) error {
	if command, ok := errors.AsType[*script.CommandError](err); ok && errors.Is(command.Err, script.ErrUnexpectedSuccess) {
		command.Err = errSucceeded
	}
	return err
}

// lines gives the script to the engine line by line, so that the stage knows the current line.
type lines struct {
	stage *stage
	rest  []byte
}

func (l *lines) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		line, err := l.stage.next()
		if err != nil {
			return 0, err
		}
		l.rest = append([]byte(line), '\n')
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// environment has the variables of a script, and none of the process.
func (st *stage) environment(dir string) []string {
	env := []string{"WORK=" + dir, "TMPDIR=" + dir}
	for _, choice := range st.choice {
		env = append(env, choice.Dimension+"="+choice.Value)
	}
	for _, name := range clientNames() {
		env = append(env, name+"_user="+st.user(name), name+"_password="+st.secrets.value(st.password(name)))
	}
	return env
}

// conditions returns the conditions that can guard a line.
func (st *stage) conditions() map[string]script.Cond {
	all := map[string]script.Cond{
		"own": script.BoolCondition("the server is in the process, and not elsewhere", st.target.Remote == nil),
	}
	names := slices.Collect(maps.Keys(dimensions))
	for _, choice := range st.choice {
		names = append(names, choice.Dimension)
	}
	for _, dimension := range names {
		all[dimension] = script.PrefixCondition("the matrix has chosen this "+dimension,
			func(_ *script.State, values string) (bool, error) {
				return slices.Contains(strings.Split(values, ","), st.choice.get(dimension)), nil
			})
	}
	return all
}
