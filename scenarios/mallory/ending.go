package mallory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"syscall"
	"time"

	honest "github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

// Ending is how a replay has ended, in the words of fixtures/README.md. Of a
// conversation in which nobody found a fault the stage is fixtures.Done and the
// reason empty.
type Ending struct {
	Stage, Reason string
	// Err is what the honest client came to, nil where Mallory played it.
	Err error
}

// Record is one line of the interaction log.
type Record = map[string]any

func text(r Record, field string) string {
	s, _ := r[field].(string)
	return s
}

// onRecord is what the server has logged of a connection.
type onRecord struct{ all []Record }

func (o onRecord) first(event string) Record {
	i := slices.IndexFunc(o.all, func(r Record) bool { return text(r, "event") == event })
	if i < 0 {
		return nil
	}
	return o.all[i]
}

func (o onRecord) end() string {
	return text(o.first("conn.close"), "reason") + text(o.first("session.close"), "reason")
}

// recorded waits until the log has the end of the connection that came from addr.
func (r *Rig) recorded(ctx context.Context, addr string) (onRecord, error) {
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		var o onRecord
		records := r.Log()
		for _, accepted := range records {
			if text(accepted, "event") == "conn.accept" && text(accepted, "remote") == addr {
				o.all = slices.DeleteFunc(records, func(other Record) bool {
					return text(other, "conn") != text(accepted, "conn")
				})
				break
			}
		}
		if o.end() != "" {
			return o, nil
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return o, fmt.Errorf("the log lacks the end of the connection: %w", ctx.Err())
		}
	}
}

// serverEnding is what the server makes of it. How far it has come tells the log,
// and before the login's end what it has said last.
func (r *replay) serverEnding(o onRecord) (Ending, error) {
	stage := r.stage
	for _, reached := range []struct{ event, stage string }{
		{"login.ok", "seat"}, {"queue.enter", "queue"}, {"session.open", "session"},
	} {
		if o.first(reached.event) != nil {
			stage = reached.stage
		}
	}
	if o.first("tls.handshake") == nil {
		stage = "tls"
	}
	reason, left := o.end(), o.end() == "quit" || o.end() == "closed"
	switch failed := text(o.first("login.fail"), "reason"); {
	case failed != "":
		reason = failed
	case left && r.refused != "":
		reason = r.refused
	case left && stage == "session":
		stage, reason = fixtures.Done, ""
	}
	return Ending{Stage: stage, Reason: reason}, r.checkRecord(o)
}

func (r *replay) checkRecord(o onRecord) error {
	requests := 0
	for _, record := range o.all {
		if text(record, "event") == "request" {
			requests++
		}
	}
	if r.set.requests >= 0 && requests != r.set.requests {
		return fmt.Errorf("the log has %d requests, not %d", requests, r.set.requests)
	}
	if failure := text(o.first("tls.fail"), "error"); !strings.Contains(failure, r.set.detail) {
		return fmt.Errorf("the log's tls.fail is %q, not %q", failure, r.set.detail)
	}
	return nil
}

// clientEnding is what the honest client makes of it.
func (r *replay) clientEnding(err error) Ending {
	if err == nil {
		return Ending{Stage: fixtures.Done}
	}
	_, refused := errors.AsType[*honest.ConnectError](err)
	switch {
	case refused:
		r.stage = "tls"
	case r.seated:
		r.stage = "session"
	case r.stage == "seat" && errors.Is(err, honest.ErrServerUnverified):
		r.stage = "server-final"
	}
	return Ending{Stage: r.stage, Reason: strings.Join(wordsOf(err), " "), Err: err}
}

// sentinels are the words for the errors of an honest client.
var sentinels = []struct {
	err  error
	word string
}{
	{honest.ErrBusy, "busy"},
	{honest.ErrLoginFailed, "login-failed"},
	{honest.ErrServerUnverified, "server-unverified"},
	{honest.ErrBindingUnavailable, "binding-unavailable"},
	{honest.ErrProtocol, "protocol"},
	{protocol.ErrReply, "reply"},
	{protocol.ErrSyntax, "syntax"},
	{protocol.ErrLineTooLong, "line-too-long"},
	{context.DeadlineExceeded, "timeout"},
	{io.EOF, "lost"},
	{io.ErrUnexpectedEOF, "lost"},
	{syscall.ECONNRESET, "reset"},
}

// wordsOf lists what an error says of itself to errors.Is and errors.As.
func wordsOf(err error) (words []string) {
	if refused, ok := errors.AsType[*honest.ConnectError](err); ok {
		return []string{"connect", connectWord(refused.Err)}
	}
	for _, s := range sentinels {
		if errors.Is(err, s.err) {
			words = append(words, s.word)
		}
	}
	if token, ok := errors.AsType[scram.Error](err); ok && !slices.Contains(words, token.Error()) {
		words = append(words, token.Error())
	}
	if reply, ok := errors.AsType[*protocol.ReplyError](err); ok {
		words = append(words, fmt.Sprint(int(reply.Code), " ", reply.Keyword))
	}
	return words
}

// connectWord is the word for what is wrong with a connection.
func connectWord(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		switch {
		case invalid.Reason == x509.IncompatibleUsage:
			return "wrong-usage"
		case invalid.Reason == x509.Expired && time.Now().Before(invalid.Cert.NotBefore):
			return "not-yet-valid"
		case invalid.Reason == x509.Expired:
			return "expired"
		}
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "wrong-name"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "unknown-ca"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate"
	}
	return err.Error()
}
