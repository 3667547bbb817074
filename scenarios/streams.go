package scenarios

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

// streamVerbs are the verbs of a client that has a stream.
func streamVerbs() []verb {
	return []verb{
		{name: "streams", run: doStreams, summary: "ask for STREAM, and wait for the 152; a reply at its end stays for hears"},
		{name: "watches", run: doWatches, logsIn: true, summary: "log in to see what the backend says, without a seat; hears-data takes it, aborts says QUIT"},
		{name: "sends-data", args: "BODY", least: 1, most: 1, run: doSendsData, summary: "send bytes to the backend, written as for ask-body; after connect in pieces of at most 65,536"},
		{name: "ends-data", run: doEndsData, summary: "end the client's direction (DATA 0)"},
		{name: "hears-data", args: "BODY", least: 1, most: 1, check: true, run: doHearsData, summary: "the next bytes from the backend are exactly these, whatever the pieces"},
		{name: "hears-end", check: true, run: doHearsEnd, summary: "the backend has ended its direction (151 0), and all before it was heard"},
		{name: "aborts", run: withStream(func(_ context.Context, _ *call, s *stream.Stream) error { return s.Abort() }), summary: "end the stream, and have the backend reset"},
		{name: "tells", args: "break|'line SPEED,FORM'|'window COLUMNS ROWS'", least: 1, most: 1, run: withStream(doTells), summary: "what a serial line or a terminal is told beside data"},
		{name: "pings", args: "[active] [for=D] [-> NAME]", most: 2, run: doPings, summary: "ask how many bytes the backend has taken, which is the output. for: again and again for this long"},
		{name: "pings-until", args: "N", least: 1, most: 1, check: true, run: withStream(doPingsUntil), summary: "the backend takes so many bytes and not more"},
	}
}

// unheard are the bytes that the script has not heard.
type unheard []byte

// maxUnheard bounds them, so that the sender has to wait.
const maxUnheard = 64 << 10

// take takes what is there of the wanted bytes.
func (u *unheard) take(want []byte) (n int, err error) {
	n = min(len(want), len(*u))
	if at := differ(want[:n], (*u)[:n]); at < n {
		return 0, fmt.Errorf("expected %.80q\nheard    %.80q", want[at:], (*u)[at:])
	}
	*u = (*u)[n:]
	return n, nil
}

// hearData waits until take has taken the bytes that the command names.
func hearData(ctx context.Context, c *call, take func(rest []byte) (int, error)) error {
	want, err := bodyOf(c.args[0])
	if err != nil {
		return err
	}
	want = []byte(c.stage.secrets.reveal(string(want)))
	rest := want
	err = c.stage.until(ctx, c.negated, func() (bool, error) {
		n, err := take(rest)
		if rest = rest[n:]; n > 0 {
			c.stage.happened()
		}
		return len(rest) == 0, err
	})
	if err != nil {
		err = fmt.Errorf("after %d of %d bytes: %w", len(want)-len(rest), len(want), err)
	}
	return err
}

func doHearsData(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	return "", hearData(ctx, c, func(rest []byte) (int, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		n, err := a.data.take(rest)
		if err == nil && n < len(rest) {
			err = errors.Join(a.dataEnd, a.gone())
		}
		return n, err
	})
}

func doHearsEnd(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	return "", c.stage.until(ctx, c.negated, a.locked(func() (bool, error) {
		switch {
		case len(a.data) > 0:
			return false, fmt.Errorf("before the end came %.80q", a.data)
		case a.dataEnd == io.EOF:
			return true, nil
		}
		return false, errors.Join(a.dataEnd, a.gone())
	}))
}

func doStreams(ctx context.Context, c *call) (string, error) {
	a := c.actor()
	seated, err := a.seated(ctx)
	if err != nil {
		return "", err
	}
	l := a.current()
	ctx, done := a.during(ctx, &a.asks)
	sent := a.speaks(protocol.VerbStream)
	s, err := stream.Open(ctx, seated)
	sent()
	if err != nil {
		a.hearEnd(l, err)
		done()
		return "", err
	}
	a.answered("152 stream")
	a.mu.Lock()
	a.stream, a.data, a.dataEnd = s, nil, nil
	a.mu.Unlock()
	go a.follow(l, s, done, func(in, out int64) protocol.Reply {
		return protocol.Reply{Code: protocol.CodeDone, Text: piece.Closed(in, out)}
	})
	return "", nil
}

func doWatches(ctx context.Context, c *call) (string, error) {
	a, d := c.actor(), &client.Dialer{}
	who := client.Credentials{Username: c.stage.user(c.who), Password: c.stage.password(c.who)}
	_, done := a.during(ctx, &a.asks)
	var s *stream.Stream
	watch := func(ctx context.Context, addr string, who client.Credentials) (*client.Client, error) {
		c, err := d.Watch(ctx, addr, who)
		if err == nil {
			s = stream.Watch(c) // before its notices
		}
		return c, err
	}
	if err := a.logsIn(ctx, d, watch, who, "152 stream"); err != nil {
		done()
		return "", err
	}
	a.mu.Lock()
	a.stream = s
	a.mu.Unlock()
	go a.follow(a.current(), s, done, func(int64, int64) protocol.Reply {
		return protocol.Reply{Code: protocol.CodeBye, Text: "bye"}
	})
	return "", nil
}

// follow takes what comes in a stream. closed is the reply to a stream that has ended well.
func (a *actor) follow(l *link, s *stream.Stream, done func(), closed func(in, out int64) protocol.Reply) {
	defer done()
	buffer := make([]byte, maxUnheard)
	for {
		n, err := s.Read(buffer)
		if n > 0 && !a.hearPiece(l, buffer[:n]) {
			return
		}
		if err != nil {
			a.takes(l, "", func() { a.dataEnd = err })
			break
		}
	}
	in, out, err := s.Wait(a.stage.ctx)
	if err == nil {
		a.hear(l, closed(in, out))
	}
	a.hearEnd(l, err)
}

// hearEnd hears a refusal, except one that listen hears too.
func (a *actor) hearEnd(l *link, err error) {
	if refused, ok := errors.AsType[*protocol.ReplyError](err); ok && refused.Code != protocol.CodeClosing {
		a.hear(l, refused.Reply())
	}
}

// hearPiece waits until the script has heard enough to take more. It returns false at the end of the script.
func (a *actor) hearPiece(l *link, p []byte) bool {
	a.takes(l, fmt.Sprintf("(%d bytes of the backend)", len(p)), func() { a.data = append(a.data, p...) })
	return nil == a.await(a.stage.ctx, func() (bool, error) { return len(a.data) < maxUnheard || a.link != l, nil })
}

// readPiece reads the bytes of a 151.
func (a *actor) readPiece(l *link, text string, in io.Reader) error {
	n, err := piece.ParseHeader(text)
	if err != nil {
		return err
	}
	p, err := readBody(in, int64(n))
	if err != nil {
		return err
	}
	if n == 0 {
		a.takes(l, "151 0", func() { a.dataEnd = io.EOF })
	} else if !a.hearPiece(l, p) {
		return a.stage.ctx.Err()
	}
	return nil
}

// withStream makes a verb of a function of the client's last stream.
func withStream(do func(context.Context, *call, *stream.Stream) error) func(context.Context, *call) (string, error) {
	return func(ctx context.Context, c *call) (string, error) {
		a := c.actor()
		s, err := a.streaming(ctx)
		if err != nil {
			return "", err
		}
		defer a.current().closeAfter(ctx)()
		defer a.speaks(strings.Join(append([]string{c.verb.name}, c.args...), " "))()
		err = do(ctx, c, s)
		return "", cmp.Or(ctx.Err(), err)
	}
}

// streaming returns the stream of a client. A command in the background may be opening it.
func (a *actor) streaming(ctx context.Context) (s *stream.Stream, err error) {
	err = a.await(ctx, func() (bool, error) {
		s = a.stream
		if s == nil && a.asks == 0 {
			return false, fmt.Errorf("%s has no stream", a.name)
		}
		return s != nil, nil
	})
	return s, err
}

func doSendsData(ctx context.Context, c *call) (string, error) {
	data, err := bodyOf(c.args[0])
	if err != nil {
		return "", err
	}
	a := c.actor()
	data = []byte(a.stage.secrets.reveal(string(data)))
	if a.hasLines() {
		for p := range slices.Chunk(data, piece.Max) {
			if err == nil {
				head := piece.Message{Verb: protocol.VerbData, Size: len(p)}.Append(nil)
				err = a.sendText(ctx, fmt.Sprintf("DATA %d", len(p)), string(head)+string(p))
			}
		}
		return "", err
	}
	return withStream(func(_ context.Context, _ *call, s *stream.Stream) error {
		_, err := s.Write(data)
		return err
	})(ctx, c)
}

func (a *actor) hasLines() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines != nil
}

func doEndsData(ctx context.Context, c *call) (string, error) {
	if a := c.actor(); a.hasLines() {
		return "", a.send(ctx, "DATA 0")
	}
	return withStream(func(_ context.Context, _ *call, s *stream.Stream) error { return s.CloseWrite() })(ctx, c)
}

func doTells(_ context.Context, c *call, s *stream.Stream) error {
	switch what, argument, _ := strings.Cut(c.args[0], " "); what {
	case "break":
		return s.Break()
	case "line":
		return s.Line(argument)
	case "window":
		var columns, rows int
		if _, err := fmt.Sscanf(argument, "%d %d", &columns, &rows); err != nil {
			return err
		}
		return s.Window(columns, rows)
	}
	return fmt.Errorf("%q is none of break, line and window", c.args[0])
}

func doPings(ctx context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, "active", "for")
	var long time.Duration
	if err = errors.Join(err, o.duration("for", &long)); err != nil {
		return "", err
	}
	s, err := c.actor().streaming(ctx)
	if err != nil {
		return "", err
	}
	defer c.actor().speaks(strings.Join(append([]string{"pings"}, c.args...), " "))()
	end := time.After(long)
	tick := time.NewTicker(max(long/20, time.Millisecond))
	defer tick.Stop()
	for {
		taken, err := s.Ping(ctx, o.has("active"))
		if err != nil {
			return "", err
		}
		select {
		case <-end:
			return strconv.FormatInt(taken, 10) + "\n", nil
		case <-tick.C:
		}
	}
}

func doPingsUntil(ctx context.Context, c *call, s *stream.Stream) error {
	want, err := strconv.ParseInt(c.args[0], 10, 64)
	if err != nil {
		return err
	}
	for {
		taken, err := s.Ping(ctx, false)
		if err != nil || taken == want {
			return err
		}
		if taken > want {
			return fmt.Errorf("the backend has taken %d bytes", taken)
		}
	}
}
