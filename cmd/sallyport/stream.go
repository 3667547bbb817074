package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// errCut is the end of a stream of which only the server's log knows why.
var errCut = errors.New("the server ended the stream before its end " +
	"(evicted, idle, shut down, or the backend failed): the server's log says which")

// stream joins the raw stream to standard input and output.
func stream(ctx context.Context, c *client.Client) error {
	s, err := c.Open(ctx)
	if err != nil {
		return notOpened(err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	unread := make(chan error, 1)
	go func() {
		// It may be blocked in a read of the terminal when the server's side
		// ends; the process ends then, and it with it. Where reading fails there
		// is no more to send either.
		_, err := io.Copy(s, os.Stdin)
		if _, ofFile := errors.AsType[*fs.PathError](err); ofFile {
			unread <- fmt.Errorf("standard input: %w", err)
		}
		_ = s.CloseWrite()
	}()
	_, err = io.Copy(os.Stdout, s)
	_, network := errors.AsType[*net.OpError](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case network || errors.Is(err, io.ErrUnexpectedEOF):
		return errCut
	case err != nil:
		return err
	}
	select {
	case err = <-unread:
	default:
	}
	return err
}

// notOpened says what a refusal of OPEN means.
func notOpened(err error) error {
	reply, ok := errors.AsType[*protocol.ReplyError](err)
	switch {
	case ok && reply.Keyword == protocol.KeywordUnknownCommand:
		return fmt.Errorf("%w: this server has no --backend", err)
	case ok && reply.Code == protocol.CodeFailed:
		return fmt.Errorf("%w: the server can't reach its backend", err)
	}
	return err
}
