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

// errCut means that the server ended the stream. It can't say why within it.
var errCut = errors.New("the server ended the stream early (evicted, idle, shut down, or the backend failed): " +
	"the server's log says why")

// open joins the raw stream of OPEN to standard input and output.
func open(ctx context.Context, c *client.Client) error {
	s, err := c.Open(ctx)
	if err != nil {
		return notOpened(err)
	}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	unread := make(chan error, 1)
	go func() {
		// If the server ends the stream first, this may stay in a read of the
		// terminal until the process ends. A failed read ends the sending too.
		_, err := io.Copy(s, os.Stdin)
		unread <- ofInput(err)
		_ = s.CloseWrite()
	}()
	_, err = io.Copy(stdout, s)
	_, ofNetwork := errors.AsType[*net.OpError](err)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case ofNetwork || errors.Is(err, io.ErrUnexpectedEOF):
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

// ofInput returns the error of reading standard input, or nil if err is another.
func ofInput(err error) error {
	if _, ofFile := errors.AsType[*fs.PathError](err); ofFile {
		return fmt.Errorf("standard input: %w", err)
	}
	return nil
}

// notOpened adds to a refusal of OPEN or STREAM why the server refuses it.
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
