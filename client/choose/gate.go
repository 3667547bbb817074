// Package choose finds a seat in a lab of many gates.
//
// [Chooser.Seat] gets the seat of any rig with given tags: of a free rig, or else of the rig with the shortest queue.
// [InTurn] tries the gates of one rig, which [Named] returns. The package knows neither the directory nor the network:
// its caller passes functions for both.
package choose

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// Gate is the directory's entry of a gate. Gates with the same Rig share one seat.
type Gate struct {
	Rig, ID string
	// Addr is HOST:PORT. Pin is the pin of the gate's private CA. Empty means a public CA.
	Addr, Pin string
	Tags      map[string]string
	// Holder is the user whose session this gate serves. Empty means none.
	Holder string
	// Waiting is the number of clients that wait for the rig. Gates that share its seat have one queue.
	Waiting int
	// Revision grows with each change of this entry.
	Revision int64
}

// has reports whether the gate has all these tags.
func (g Gate) has(tags map[string]string) bool {
	for key, value := range tags {
		if got, ok := g.Tags[key]; !ok || got != value {
			return false
		}
	}
	return true
}

// ErrNoRig means that the directory has no rig of this name, or none with these tags.
var ErrNoRig = errors.New("choose: no such rig")

// Named returns the gates of a rig. If there is none, the error wraps [ErrNoRig] and names up to eight rigs of the
// directory.
func Named(all []Gate, name string) ([]Gate, error) {
	var found []Gate
	for _, g := range all {
		if g.Rig == name {
			found = append(found, g)
		}
	}
	if len(found) == 0 {
		return nil, worded{ErrNoRig, fmt.Sprintf("there is no rig %q in the directory%s", name, listed(all, false))}
	}
	return found, nil
}

// InTurn calls dial with one gate after the other until a gate answers. A full queue and a refused login are answers:
// the gates share the seat, and another gate would refuse a wrong password too. If no gate answers, the error is a
// [Failed], or with a single gate the error of dial.
func InTurn[S any](ctx context.Context, gates []Gate, dial func(Gate) (S, error)) (seat S, at Gate, err error) {
	failed := Failed{what: "no gate of the rig can be reached"}
	for _, g := range gates {
		seat, err = dial(g)
		if err == nil || ctx.Err() != nil || !elsewhere(err) || errors.Is(err, client.ErrBusy) {
			return seat, g, err
		}
		failed.errs = append(failed.errs, err)
	}
	if len(gates) == 1 {
		return seat, gates[0], err
	}
	return seat, at, failed
}

// elsewhere reports whether another gate may give a seat after this error.
func elsewhere(err error) bool {
	for _, final := range []error{client.ErrLoginFailed, client.ErrServerUnverified, client.ErrBindingUnavailable, client.ErrProtocol, client.ErrNoStat, client.ErrNoWatch} {
		if errors.Is(err, final) {
			return false
		}
	}
	reply, isReply := errors.AsType[*protocol.ReplyError](err)
	if !isReply {
		return true // no connection, or a lost one
	}
	return reply.Code < 500 && reply.Keyword != protocol.KeywordWaitTimeout && reply.Keyword != protocol.KeywordEvicted
}

// Failed means that no gate or rig gave a seat. errors.Is and errors.As find the errors of the busy gates or rigs. If
// none was busy, they find the errors of all.
type Failed struct {
	what string
	errs []error
}

// maxShown bounds the number of texts that a message lists.
const maxShown = 8

func (f Failed) Error() string {
	var texts []string
	for _, err := range f.errs {
		texts = append(texts, err.Error())
	}
	return f.what + ": " + shorten(texts, "; ")
}

// Unwrap returns the errors of the busy gates or rigs, or all errors if none was busy.
func (f Failed) Unwrap() []error {
	var busy []error
	for _, err := range f.errs {
		if errors.Is(err, client.ErrBusy) {
			busy = append(busy, err)
		}
	}
	if busy != nil {
		return busy
	}
	return f.errs
}

// shorten joins texts, at most maxShown.
func shorten(texts []string, between string) string {
	if n := len(texts) - maxShown; n > 1 {
		texts = append(slices.Clone(texts[:maxShown]), fmt.Sprintf("and %d more", n))
	}
	return strings.Join(texts, between)
}

// listed returns the end of a sentence, which lists the rigs of all.
func listed(all []Gate, withTags bool) string {
	var names []string
	for _, g := range all {
		name := g.Rig
		if tags := tagText(g.Tags); withTags && tags != "" {
			name += " (" + tags + ")"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return ", which is empty"
	}
	return "; there are: " + shorten(names, ", ")
}

func tagText(tags map[string]string) string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		all = append(all, key+"="+tags[key])
	}
	return strings.Join(all, ",")
}

// worded is an error with a text for the user in place of its own.
type worded struct {
	error
	text string
}

func (w worded) Error() string { return w.text }
func (w worded) Unwrap() error { return w.error }
