package probe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// A Prober plays the cases of a [Config] against a peer. Make one with [New]. It is not safe for concurrent use.
type Prober struct {
	Config
	// Summary is complete when Run has ended.
	Summary Summary

	cases    []*fixtures.Vector
	controls []*fixtures.Vector
	// names are the names of the cases.
	names map[string]bool
	// works has the reason why a login without a fault fails, by its name. Empty means that it succeeds.
	works    map[string]string
	listener net.Listener
	files    *files
	child    *process
	// noTLS means that the connections have no TLS, and no binding.
	noTLS bool
	// usual is the time of the first login without a fault.
	usual time.Duration
	// keptOut is the reason why the remaining cases are skipped. Empty means that they are played.
	keptOut string
}

// vectors reads the vectors once, for programs that probe many peers. No prober changes them.
var vectors = sync.OnceValues(fixtures.Vectors)

// New checks a configuration, and returns a Prober for it. The error wraps [ErrUsage].
func New(c Config) (*Prober, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	all, err := vectors()
	if err != nil {
		return nil, err
	}
	p := &Prober{Config: c, works: map[string]string{}, names: map[string]bool{}, Summary: Summary{Role: c.Role, URL: c.Target.String(), Level: cmp.Or(c.Level, "should"), Peer: strings.Join(c.Command, " "), Start: time.Now()}}
	var any []Result
	for i := range all {
		v := &all[i]
		any = append(any, newResult(v))
		if v.Battery == 0 {
			p.controls = append(p.controls, v)
		} else if c.wanted(v) {
			p.cases, p.names[v.Name] = append(p.cases, v), true
		}
	}
	for _, c := range p.everyCheck() {
		any = append(any, c.Result)
	}
	if err := c.Accepted.check(any); err != nil {
		return nil, err
	}
	return p, p.checkOnly()
}

// checkOnly returns an error for a pattern that no case matches, because a run without cases finds nothing wrong. The
// logins without a fault are played in any case.
func (p *Prober) checkOnly() error {
	if p.Only == nil || len(p.Cases()) > 0 || slices.ContainsFunc(p.controls, func(v *fixtures.Vector) bool { return p.Only.MatchString(v.Name) }) {
		return nil
	}
	return fmt.Errorf("%w--run %s: no case of --level %s has such a name; --list --level all prints the names", ErrUsage, p.Only, cmp.Or(p.Level, "should"))
}

// Cases returns the results of all cases, without verdicts, in the order in which they are played.
func (p *Prober) Cases() (all []Result) {
	for _, v := range p.cases {
		all = append(all, newResult(v))
	}
	for _, c := range p.checks() {
		all = append(all, c.Result)
	}
	return all
}

// FailedLogins returns the maximum number of failed logins on a server under test.
func (p *Prober) FailedLogins() (n int) {
	for _, v := range p.cases {
		if v.Found.Stage != fixtures.Done {
			n++
		}
	}
	return n
}

// controlEvery is the number of cases after which the login without a fault is tried again.
const controlEvery = 10

// Run plays all cases. It may end early with an error: [ErrNotReached], [ErrControl], or the cause of ctx. The results
// before the error are valid. Summary.Err has the same error.
func (p *Prober) Run(ctx context.Context) iter.Seq2[Result, error] {
	return func(report func(Result, error) bool) {
		yield := func(r Result, err error) bool {
			p.Summary.Err = err
			return report(r, err)
		}
		defer func() { p.Summary.Took = time.Since(p.Summary.Start) }()
		if err := p.open(); err != nil {
			yield(Result{}, err)
			return
		}
		defer p.close()
		results, err := p.tryControls(ctx)
		for _, r := range results {
			if !yield(p.Accepted.mark(r), nil) {
				return
			}
		}
		if err != nil {
			yield(Result{}, err)
			return
		}
		p.runCases(ctx, yield)
	}
}

func (p *Prober) open() (err error) {
	if p.Role == ClientRole {
		if p.files, err = newFiles(); err != nil {
			return err
		}
	}
	if err = p.listen(); err != nil {
		p.close()
		return fmt.Errorf("%w: %w", ErrNotReached, err)
	}
	return nil
}

func (p *Prober) close() {
	if p.listener != nil {
		_ = p.listener.Close()
	}
	if p.files != nil {
		p.files.remove()
	}
}

func (p *Prober) runCases(ctx context.Context, yield func(Result, error) bool) {
	var steps []func() Result
	for _, v := range p.cases {
		steps = append(steps, func() Result { return p.one(ctx, v) })
	}
	for _, c := range p.checks() {
		steps = append(steps, func() Result {
			if p.keptOut != "" {
				return c.skip(p.keptOut)
			}
			return c.run(ctx, c.Result)
		})
	}
	for n, step := range steps {
		if n%controlEvery == controlEvery-1 && p.keptOut == "" {
			p.control(ctx)
		}
		r := step()
		if ctx.Err() != nil { // the interruption has ended the peer, so the verdict is worthless
			yield(Result{}, context.Cause(ctx))
			return
		}
		if !yield(p.Accepted.mark(r), nil) {
			return
		}
	}
	p.Summary.Unused = p.Accepted.unused()
	if p.keptOut != "" {
		yield(Result{}, fmt.Errorf("%w: %s", ErrControl, p.keptOut))
	}
}

// one plays one case.
func (p *Prober) one(ctx context.Context, v *fixtures.Vector) Result {
	v, reason := p.fit(v)
	r := newResult(v)
	if p.keptOut != "" {
		return r.skip(p.keptOut)
	}
	if reason != "" {
		return r.skip(reason)
	}
	began := time.Now()
	r = p.judged(ctx, v, r)
	if r.Verdict == Skip && strings.HasPrefix(r.Reason, "refused before") || errors.Is(ctx.Err(), context.Canceled) {
		p.control(ctx) // a penalty looks like a refusal
	}
	r.Took = time.Since(began)
	return r
}

func (p *Prober) judged(ctx context.Context, v *fixtures.Vector, r Result) Result {
	got, err := p.play(ctx, v)
	switch {
	case err == nil:
		return judge(r, v, got, p.Role)
	case v.Found.Stage == fixtures.Done:
		r.Verdict, r.Reason = offence(v.Rule), "no login begins: "+plainly(err)
		return r
	}
	return r.skip("no login begins: " + plainly(err))
}

// play plays a vector against the peer.
func (p *Prober) play(ctx context.Context, v *fixtures.Vector) (got *played, err error) {
	if p.Role == ServerRole {
		return p.playServer(ctx, v, 0)
	}
	if got, err = p.playClient(ctx, v, maxVersion(v)); err == nil {
		d := dialects[p.Target.Dialect]
		named := strings.NewReplacer(fixtures.Success, d.success, fixtures.Failure, d.failure)
		for i := range got.transcript {
			got.transcript[i].Text = named.Replace(got.transcript[i].Text)
		}
	}
	return got, err
}

// look reads the server's offer, and chooses the mechanism.
func (p *Prober) look(ctx context.Context) error {
	if p.Role == ClientRole || p.Target.Dialect == "stdio" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 4*p.Timeout)
	defer cancel()
	l, caller, offer, err := p.call(ctx, p.controls[0].As(p.mechanism(), p.Account.Name, p.Account.Password), 0)
	if err != nil {
		return notReached(err)
	}
	p.learn(l, offer)
	caller.Leave()
	l.Close()
	if m := p.mechanism(); !slices.Contains(offer.Mechanisms, m) && !slices.Contains(offer.Mechanisms, m+"-PLUS") {
		return fmt.Errorf("%w: the server does not offer %s, but %q", ErrControl, m, offer.Mechanisms)
	}
	return nil
}

func notReached(err error) error {
	if notAllowed, refused := errors.AsType[errNotAllowed](err); refused {
		return notAllowed
	}
	return fmt.Errorf("%w: %s", ErrNotReached, plainly(err))
}
