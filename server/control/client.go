package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
)

// ErrNoServer means that no server answers on the socket.
var ErrNoServer = errors.New("control: no server answers")

// Client asks a server. It is safe for concurrent use. The context of a call bounds it.
type Client struct {
	// Path is the path of the socket, File in the state directory.
	Path string
}

// Status returns the state of the server.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.do(ctx, http.MethodGet, pathStatus, nil, &s)
}

// Evict makes clients leave. It returns those whose end has begun, with the name of the operator as the server sees it.
func (c *Client) Evict(ctx context.Context, e Eviction) (gone Evicted, err error) {
	return gone, c.do(ctx, http.MethodPost, pathEvict, e, &gone)
}

// Reload reloads certificate, users and log.
func (c *Client) Reload(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, pathReload, struct{}{}, &struct{}{})
}

// Stop begins the shutdown. now cuts the running request off.
func (c *Client) Stop(ctx context.Context, now bool) (s Stopped, err error) {
	return s, c.do(ctx, http.MethodPost, pathStop, stopping{now}, &s)
}

// do sends a request and reads the reply. Its errors are *Error, and ErrNoServer for all others.
func (c *Client) do(ctx context.Context, method, path string, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://control"+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	transport := &http.Transport{DialContext: c.dial, DisableKeepAlives: true}
	response, err := transport.RoundTrip(r)
	if err != nil {
		return c.failure(ctx, err)
	}
	defer response.Body.Close()
	return c.failure(ctx, decode(response, into))
}

// decode reads a reply.
func decode(response *http.Response, into any) error {
	text, err := io.ReadAll(io.LimitReader(response.Body, maxReply))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(text, into)
	}
	var refusal Error
	if json.Unmarshal(text, &refusal) != nil || refusal.Text == "" {
		refusal = Error{"the server has answered: " + response.Status, ReasonUnknown}
	}
	return &refusal
}

// failure returns the error for a failed request.
func (c *Client) failure(ctx context.Context, err error) error {
	_, refused := errors.AsType[*Error](err)
	switch {
	case err == nil, refused, errors.Is(err, ErrNoServer):
		return err
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	return fmt.Errorf("%w on %s: %w", ErrNoServer, c.Path, err)
}

// dial connects to the socket.
func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	name, done, err := short(c.Path)
	if err != nil {
		return nil, err
	}
	defer done()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", name)
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // without the name, which may be the short one
		if system, ok := errors.AsType[*os.SyscallError](err); ok {
			err = system.Err
		}
	}
	return conn, err
}
