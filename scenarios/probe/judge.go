package probe

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/sallyport/sallyport/fixtures"
)

// played has the events of one play of a vector.
type played struct {
	outcome fixtures.Outcome
	// err is the error of [fixtures.Vector.Play].
	err error
	// broken is the error that ended the conversation with the peer. Nil means that the peer's words ended it.
	broken error
	// early means that a server sent its success before the proof.
	early bool
	// over means that the protocol has ended the login.
	over bool
	// words are the peer's own words, and product its product, announced after the login.
	words, product string
	// version is the version of TLS.
	version uint16
	// exited0, hung and next are the end of a client under test: exit code 0, no end in time, and its first line after
	// the login.
	exited0, hung bool
	next          string
	transcript    []Message
	// own is the next altered message without its fault.
	own string
}

// believed reports whether the login succeeded for the side that the vector judges.
func (p *played) believed(by Role) bool {
	if by == ClientRole {
		return p.exited0 || p.next != ""
	}
	return p.early || p.err == nil && p.outcome.Stage == fixtures.Done || p.lenient()
}

// lenient reports whether the login went on to its end although server-final was wrong.
func (p *played) lenient() bool {
	unexpected, ok := errors.AsType[*fixtures.Unexpected](p.err)
	return ok && unexpected.Stage == "server-final"
}

// judge sets verdict, stage, words and reason.
func judge(r Result, v *fixtures.Vector, p *played, role Role) Result {
	r.Stage, r.Words, r.Transcript = p.outcome.Stage, p.words, p.transcript
	unexpected, wrong := errors.AsType[*fixtures.Unexpected](p.err)
	believed := p.believed(role)
	switch {
	case errors.Is(p.err, fixtures.ErrNothing):
		return r.skip("the alteration changes nothing with this mechanism")
	case v.Found.Stage == fixtures.Done && wrong:
		r.Verdict, r.Stage, r.Reason = offence(v.Rule), unexpected.Stage, "answers wrongly: "+unexpected.Why
	case v.Found.Stage == fixtures.Done && p.early:
		r.Verdict, r.Reason = offence(v.Rule), p.accepted(role)
	case v.Found.Stage == fixtures.Done && believed:
		r.Verdict, r.Stage, r.Reason = Pass, fixtures.Done, "accepted, as it must be"
	case v.Found.Stage == fixtures.Done:
		r.Verdict, r.Reason = offence(v.Rule), p.failed(role)
	case believed:
		r.Verdict, r.Stage, r.Reason = offence(v.Rule), fixtures.Done, p.accepted(role)
		if v.Login.Authzid != "" {
			r.Reason += "; the protocol does not say whether the session is that of n= or of a="
		}
	case p.hung || errors.Is(p.broken, errHang):
		if r.Verdict, r.Reason = offence(v.Rule), unanswered; r.Verdict == Fail {
			r.Verdict = NonStrict // it has not accepted
		}
	case p.err != nil && role == ClientRole:
		r.Verdict, r.Reason = Pass, "refused in the end; the exchange could not be played on: "+plainly(p.err)
	case p.err != nil:
		return r.skip("could not be played: " + plainly(p.err))
	case before(p.outcome.Stage, v.Found.Stage):
		return r.skip("refused before the fault was sent" + p.how(role))
	case p.outcome.Stage == v.Found.Stage:
		r.Verdict, r.Reason = Pass, p.refused("there")+p.how(role)
	default:
		r.Verdict, r.Reason = Pass, p.refused("later, after "+v.Found.Stage)+p.how(role)
	}
	return r
}

// accepted returns how a peer accepted a login that it must refuse.
func (p *played) accepted(role Role) string {
	switch {
	case p.early:
		return "accepted before the proof"
	case role == ServerRole:
		return "accepted: the login went on to its end and succeeded"
	case p.exited0 && p.next != "":
		return fmt.Sprintf("accepted: it ends with exit code 0, and has sent %.60q as if logged in", p.next)
	case p.exited0:
		return "accepted: it ends with exit code 0"
	}
	return fmt.Sprintf("accepted: it has sent %.60q as if logged in", p.next)
}

// unanswered is the reason of cases in which the peer does not answer in time.
const unanswered = "neither accepted nor refused: no answer in time"

// refusedRight is the reason when a peer refuses a right login.
const refusedRight = "refused, though nothing is wrong"

// failed returns how a right login failed. Silence and nonsense do not count as refusals.
func (p *played) failed(role Role) string {
	if how := p.how(role); how != "" {
		return "not accepted, though nothing is wrong" + how
	}
	return refusedRight
}

// refused returns where the peer ended a login. Nonsense does not count as a refusal.
func (p *played) refused(where string) string {
	if errors.Is(p.broken, errFlood) || errors.Is(p.broken, errWords) {
		return "not accepted " + where
	}
	return "refused " + where
}

// how returns how a login ended if the peer did not refuse in words, or "".
func (p *played) how(role Role) string {
	switch {
	case p.hung || errors.Is(p.broken, errHang):
		return " (no answer in time)"
	case errors.Is(p.broken, errFlood), errors.Is(p.broken, errWords):
		return " (" + plainly(p.broken) + ")"
	case p.broken != nil && role == ServerRole:
		return " (it ended the connection without a word)"
	}
	return ""
}

func before(stage, other string) bool {
	const order = "client-first server-first client-final server-final done"
	return strings.Index(order, stage) < strings.Index(order, other)
}

// plainly returns the text of an error for a report.
func plainly(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return errHang.Error()
	case errors.Is(err, syscall.ECONNRESET): // also while it was dialled
		return errEnd.Error()
	case strings.HasSuffix(err.Error(), "tls: protocol version not supported"):
		return "the server does not speak this version of TLS"
	}
	text := err.Error()
	if _, behind, found := strings.Cut(text, ".txt:"); found { // FILE:LINE and the name of the vector
		if parts := strings.SplitN(behind, ": ", 3); len(parts) == 3 {
			text = parts[2]
		}
	}
	return strings.TrimPrefix(text, "fixtures: ")
}
