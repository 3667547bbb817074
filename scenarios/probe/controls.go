package probe

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/fixtures"
)

// control repeats the first login without a fault that succeeded. If it fails now, the remaining cases are skipped.
func (p *Prober) control(ctx context.Context) {
	for _, v := range p.controls {
		if why, tried := p.works[loginOf(v)]; !tried || why != "" {
			continue
		}
		fitted, _ := p.fitted(v)
		began := time.Now()
		r := p.judged(ctx, fitted, newResult(fitted))
		took := time.Since(began)
		switch {
		case ctx.Err() != nil:
		case r.Verdict != Pass && p.configurable():
			p.keptOut = "the login without a fault succeeds no more: " + strings.TrimSpace(r.Reason+" "+r.Words)
		case r.Verdict != Pass:
			p.keptOut = "the peer does not accept the login without a fault any more: it locks out or slows down after failed logins (" +
				strings.TrimSpace(r.Reason+" "+r.Words) + ")"
		case took > 10*p.usual && took > 2*time.Second && !p.configurable(): // a command is new each time: only the machine is slow
			p.keptOut = fmt.Sprintf("the peer slows down after failed logins: the login without a fault took %.1f s, and %.1f s before", took.Seconds(), p.usual.Seconds())
		}
		return
	}
}

// tryControls finds out which logins without a fault succeed. If the plain one fails, it ends there, with [ErrControl].
func (p *Prober) tryControls(ctx context.Context) (results []Result, err error) {
	if err := p.look(ctx); err != nil {
		return nil, err
	}
	var reasons []string
	for _, v := range p.controls {
		r, err := p.tryControl(ctx, v)
		key := loginOf(v)
		switch {
		case ctx.Err() != nil:
			return results, context.Cause(ctx)
		case errors.Is(err, ErrNotReached):
			return nil, err
		}
		if p.works[key] = ""; r.Verdict != Pass {
			p.works[key] = strings.TrimSpace(r.Reason + " " + r.Words)
			reasons = append(reasons, p.explained(&r))
		} else if p.usual == 0 {
			p.usual = r.Took
		}
		results = append(results, optional(r, key))
		if key == "plain" && r.Verdict == Fail || errors.Is(err, errHang) && p.usual == 0 {
			break
		}
	}
	if len(reasons) < len(results) {
		return results, nil
	}
	results = slices.DeleteFunc(results, func(r Result) bool { return r.Verdict == Skip }) // the error has their reasons
	return results, fmt.Errorf("%w: %s", ErrControl, strings.Join(slices.Compact(reasons), "; "))
}

// explained returns why a login without a fault fails, and what to do about it.
func (p *Prober) explained(r *Result) string {
	switch {
	case r.Words == "" || r.Reason != refusedRight:
		return strings.TrimSpace(r.Reason + " " + r.Words)
	case p.configurable():
		return fmt.Sprintf("the %s refuses it: %q", p.Role, r.Words)
	}
	return fmt.Sprintf("the server refuses it: %q; check --user and the password", r.Words)
}

// tryControl plays a login without a fault. The error is the reason why there is no verdict, or errHang.
func (p *Prober) tryControl(ctx context.Context, v *fixtures.Vector) (Result, error) {
	fitted, reason := p.fitted(v)
	r := newResult(fitted)
	if reason == "" {
		reason = p.missing(fitted)
	}
	if reason != "" {
		return r.skip(reason), nil
	}
	began := time.Now()
	got, err := p.play(ctx, fitted)
	if err != nil {
		return r.skip(plainly(err)), err
	}
	r = judge(r, fitted, got, p.Role)
	r.Took = time.Since(began)
	if got.hung {
		return r, errHang
	}
	return r, got.broken
}

// optional turns the failure of a login without a fault into a skip, except for plain: a peer need not have every
// binding. The checks of bindings say more.
func optional(r Result, key string) Result {
	if r.Verdict == Fail && key != "plain" {
		return r.skip("a peer need not support this login: " + r.Reason)
	}
	return r
}
