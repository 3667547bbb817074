package mallory

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"

	honest "github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
)

// Wire is a transcript of fixtures/wire, ready to be replayed.
type Wire struct {
	fixtures.Transcript
	set settings
}

// NewWire fails where the transcript has a setting that is not known.
func NewWire(t fixtures.Transcript) (*Wire, error) {
	set, err := newSettings(t)
	return &Wire{t, set}, err
}

// Roles are those in which Mallory is to replay it: as the one who is not the
// victim and, where nobody is, as each in turn.
func (w *Wire) Roles() []Role { return w.set.roles }

// Rig is what a transcript is replayed on: a server that [Wire.Configure] has set
// up, and who logs in there. The server's own fields are not needed where Mallory
// plays the server.
type Rig struct {
	Addr     string
	Roots    *x509.CertPool  // that vouch for the server
	Log      func() []Record // the interaction log so far
	Users    server.Users    // those of the server; Mallory has stolen them
	Password func(name string) string
	Keys     *scram.KeyCache // spares the iterations
	// SetPassword gives a user another password, and removes it where that is empty.
	SetPassword func(name, password string) error
	// Seat has somebody log in; leave fails where the session was disturbed.
	Seat func(ctx context.Context, name string) (leave func() error, err error)
}

// replay is one run of a transcript.
type replay struct {
	*Wire
	rig            *Rig
	server, client *peer // whom Mallory talks to, nil for the one that she plays
	symbols        fixtures.Symbols
	login          login
	binding        scram.ChannelBinding // of the first login
	stage          string
	seated         bool   // the honest client, as it thinks
	refused        string // code and keyword of the server's last refusal
	leave          func() error
	remote         string // Mallory's address, as the server's log has it
	reconnect      func(ctx context.Context, resume bool) error
}

// Replay acts a transcript out. The error says where the conversation was another
// one than the transcript's; the ending holds all the same, as far as it goes.
func (w *Wire) Replay(ctx context.Context, rig *Rig, role Role) (Ending, error) {
	r := &replay{
		Wire: w, rig: rig, stage: "command", leave: func() error { return nil },
		symbols: fixtures.Symbols{"nothing": "", "text": "mallory", "user": w.set.user},
	}
	if w.set.holder != "" {
		leave, err := rig.Seat(ctx, w.set.holder)
		if err != nil {
			return Ending{}, err
		}
		r.leave = leave
	}
	var ending Ending
	var err error
	switch role {
	case Client:
		ending, err = r.asClient(ctx)
	case Server:
		ending, err = r.asServer(ctx)
	default:
		ending, err = r.inTheMiddle(ctx)
	}
	return ending, errors.Join(err, r.leave())
}

// acts has all lines said, heard and done.
func (r *replay) act(ctx context.Context) error {
	for _, line := range r.Lines {
		from, to := r.client, r.server
		if line.From == 'S' {
			from, to = to, from
		}
		var err error
		switch {
		case line.Kind == fixtures.Deed && from == nil:
			err = r.do(ctx, to, line.Text)
		case line.Kind == fixtures.Deed:
			err = r.expect(from, line.Text)
		case from == nil:
			err = r.say(to, line)
		default:
			err = r.hear(ctx, from, to, line)
		}
		if err != nil {
			return fmt.Errorf("%s, line %d: %w", r.Name, line.Number, err)
		}
	}
	return nil
}

// say says a line of one whom Mallory plays.
func (r *replay) say(to *peer, line fixtures.Line) error {
	said, err := r.symbols.Render(line.Text)
	if err != nil {
		return err
	}
	to.say(said + "\r\n")
	switch {
	case r.stage == "command" && strings.HasPrefix(said, "AUTH "):
		r.stage = "client-first"
	case line.From == 'S' && strings.Contains(line.Text, "{server-final}"):
		r.stage = "seat"
	}
	return nil
}

// hear takes a line of somebody honest and, where Mallory stands in the middle,
// passes it on, or her own in its place.
func (r *replay) hear(ctx context.Context, from, to *peer, line fixtures.Line) error {
	for _, p := range []*peer{r.client, r.server} {
		if p != nil {
			p.flush()
		}
	}
	heard, err := from.in.ReadLine()
	if err != nil {
		return fmt.Errorf("instead of %q: %w", line.Text, err)
	}
	said := string(heard)
	if line.Kind == fixtures.Honest {
		delete(r.symbols, "text") // another one each time
		if err := r.symbols.Match(line.Text, said); err != nil {
			return err
		}
		r.symbols["text"] = "mallory"
		if err := r.learn(ctx, line); err != nil {
			return err
		}
	} else if said, err = r.symbols.Render(line.Text); err != nil {
		return err
	}
	r.note(line.From, said)
	if to != nil {
		to.say(said + "\r\n")
	}
	return nil
}

// learn takes up what a message of the login says.
func (r *replay) learn(ctx context.Context, line fixtures.Line) error {
	for _, step := range []struct{ symbol, stage string }{
		{"client-first", "server-first"},
		{"server-first", "client-final"},
		{"client-final", "server-final"},
		{"server-final", "empty-line"},
	} {
		if !strings.Contains(line.Text, "{"+step.symbol+"}") {
			continue
		}
		if r.server == nil || line.From == 'S' {
			r.stage = step.stage // of the victim
		}
		if r.login == nil {
			return nil // in the middle, or on a connection where she repeats what she has heard
		}
		return r.login.take(ctx, step.symbol, r.symbols)
	}
	return nil
}

// note keeps what a server refuses.
func (r *replay) note(from byte, said string) {
	if code, text, _ := strings.Cut(said, " "); from == 'S' && code >= "400" && code <= "599" {
		keyword, _, _ := strings.Cut(text, " ")
		r.refused = code + " " + keyword
	}
}

// do does what Mallory does beside speaking, or the server's operator.
func (r *replay) do(ctx context.Context, to *peer, text string) error {
	deed, argument, _ := strings.Cut(text, " ")
	argument, err := r.symbols.Render(argument)
	if err != nil {
		return err
	}
	if (deed == "again" || deed == "resume") && r.reconnect != nil {
		return r.reconnect(ctx, deed == "resume")
	}
	return to.do(deed, argument)
}

// expect is what somebody honest must do, or the server's operator does.
func (r *replay) expect(from *peer, text string) error {
	deed, argument, _ := strings.Cut(text, " ")
	from.flush()
	switch deed {
	case "alert":
		return from.silent("1503030002" + "02" + argument)
	case "silent":
		return from.silent("")
	case "record":
		return from.record(argument)
	case "leaves":
		return from.leaves()
	case "password":
		return r.rig.SetPassword(r.set.user, cmp.Or(argument, "another one"))
	case "remove":
		return r.rig.SetPassword(r.set.user, "")
	case "free":
		leave := r.leave
		r.leave = func() error { return nil }
		return leave()
	}
	return fmt.Errorf("there is no deed %q for somebody honest", deed)
}

var errTwice = errors.New("the client tries again on another connection")

// dialer is the honest client, who comes to Mallory.
func (r *replay) dialer(roots *x509.CertPool, addr string) *honest.Dialer {
	d := &honest.Dialer{TLSConfig: newTLS(roots), Keys: r.rig.Keys, LoginTimeout: r.set.clientLogin}
	d.TLSConfig.MinVersion = r.set.version
	d.NoWait = r.set.noWait
	if r.set.mechanism == scram.SHA256 {
		d.ChannelBinding = honest.BindingNone
	}
	dialled := false
	d.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		if dialled {
			return nil, errTwice
		}
		dialled = true
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	return d
}
