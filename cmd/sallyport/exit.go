package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// The exit codes, which others script against.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitConnection = 3
	exitLogin      = 4
	exitNoSeat     = 5
	exitRefused    = 6
)

// usageError is wrong usage that cobra can't see.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// statusError is an exit code of which everything has been said already.
type statusError struct{ code int }

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// cause is err, but where a signal ended ctx it says which.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// noSeat are the keywords of a 421 that say that there is no seat to be had.
var noSeat = map[protocol.Keyword]bool{
	protocol.KeywordBusy: true, protocol.KeywordWaitTimeout: true, protocol.KeywordEvicted: true,
}

// exitCode tells what an error of the client means to a script.
func exitCode(err error) int {
	reply, isReply := errors.AsType[*protocol.ReplyError](err)
	_, isConnect := errors.AsType[*client.ConnectError](err)
	switch {
	case isConnect:
		return exitConnection
	case errors.Is(err, client.ErrBusy):
		return exitNoSeat
	case errors.Is(err, client.ErrLoginFailed), errors.Is(err, client.ErrServerUnverified), errors.Is(err, client.ErrBindingUnavailable):
		return exitLogin
	case isReply && reply.Code == protocol.CodeClosing && noSeat[reply.Keyword]:
		return exitNoSeat
	case isReply && reply.Code >= 500:
		return exitRefused
	}
	return exitFailed
}
