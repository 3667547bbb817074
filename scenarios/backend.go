package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/watch"
)

func backendMember() *member {
	return &member{
		summary: "what the server guards, in a stream; the server line needs the option backend",
		owns:    true,
		verbs: []verb{
			{name: "hears-data", args: "BODY", least: 1, most: 1, check: true, run: withDevice(doDeviceHearsData), summary: "the next bytes from the client are exactly these, written as for ask-body"},
			{name: "hears", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: withDevice(doDeviceHears), summary: "what comes next beside data matches: end (of the client's direction), reset, closed, 'break', 'line 9600,7E1' or 'window 80 24'; all data before an end must have been heard"},
			{name: "sends-data", args: "BODY", least: 1, most: 1, run: withDevice(doDeviceSendsData), summary: "send bytes to the client"},
			{name: "ends", run: withDevice(func(_ context.Context, _ *call, d *device) error { return d.stop(io.EOF) }), summary: "end the backend's direction"},
			{name: "breaks", run: withDevice(func(_ context.Context, _ *call, d *device) error { return d.stop(errBroken) }), summary: "fail, after what was sent"},
		},
	}
}

// backends are the values of the option backend. An echo plays itself, the script plays the others.
var backends = []string{"duplex", "simplex", "kept", "recorded", "echo", "unreachable"}

var (
	errBroken      = errors.New("the instrument is on fire")
	errUnreachable = errors.New("the instrument is off")
	errTwice       = errors.New("the server has opened the backend while it was open")
	errNoStream    = errors.New("no client has a stream to the backend")
	errNoMore      = errors.New("the stream is over")
)

// guard gives the server a backend.
func (h *host) guard(o options, happened func()) error {
	kind := o["backend"]
	if err := o.number("watchers", &h.crowd.Max); err != nil || kind == "" {
		return err
	}
	if h.crowd.Max > 0 {
		h.Watch = func(c watch.Client) (*watch.Feed, error) { return h.crowd.Join(c, []byte(backlog)) }
	}
	h.Backend = func(context.Context, *server.Request) (io.ReadWriteCloser, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		switch {
		case kind == "unreachable":
			return nil, errUnreachable
		case h.device != nil && h.device.fails(errTwice):
			return nil, errTwice
		}
		h.device = newDevice(kind, happened)
		h.device.watched = h.crowd.Say
		happened()
		switch kind {
		case "simplex":
			return h.device, nil
		case "kept":
			return keptOpen{h.device}, nil
		case "recorded":
			return recorded{keptOpen{h.device}}, nil
		}
		return halfCloser{h.device}, nil
	}
	return oneOf("backend", kind, backends...)
}

// withDevice makes a verb of a function of the backend in the last stream. It waits for the first.
func withDevice(do func(context.Context, *call, *device) error) func(context.Context, *call) (string, error) {
	return withHost(func(ctx context.Context, c *call, h *host) error {
		var d *device
		err := c.stage.await(ctx, func() (bool, error) {
			h.mu.Lock()
			defer h.mu.Unlock()
			d = h.device
			return d != nil, nil
		})
		if err != nil {
			return fmt.Errorf("%w: %w", errNoStream, err)
		}
		return do(ctx, c, d)
	})
}

func doDeviceHearsData(ctx context.Context, c *call, d *device) error {
	return hearData(ctx, c, func(rest []byte) (int, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		n, err := d.in.take(rest)
		d.changed.Broadcast()
		if err == nil && n < len(rest) && d.closed {
			err = errNoMore
		}
		return n, errors.Join(err, d.fault)
	})
}

func doDeviceHears(ctx context.Context, c *call, d *device) error {
	pattern, err := optionalRegexp(c.args)
	if err != nil {
		return err
	}
	return c.stage.until(ctx, c.negated, func() (bool, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.told) == 0 || d.fault != nil {
			return false, d.fault
		}
		what := d.told[0]
		d.told = d.told[1:]
		switch {
		case !pattern.MatchString(what):
			return false, fmt.Errorf("expected the backend to hear %q, heard %q", pattern, what)
		case what == "end" && len(d.in) > 0:
			return false, fmt.Errorf("before the end the backend heard %.80q", d.in)
		}
		return true, nil
	})
}

func doDeviceSendsData(_ context.Context, c *call, d *device) error {
	data, err := bodyOf(c.args[0])
	if err != nil {
		return err
	}
	c.stage.exchange("backend", "server", c.args[0])
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.end != nil {
		return d.end
	}
	d.out = append(d.out, data...)
	d.changed.Broadcast()
	return nil
}
