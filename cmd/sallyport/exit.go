package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/choose"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/control"
	"github.com/sallyport/sallyport/server/fleet"
	"github.com/sallyport/sallyport/server/state"
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

// usageError is an error of usage that cobra does not find.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// statusError is an exit code without a message, because that was printed before.
type statusError struct{ code int }

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }

// cause returns err, or the signal that ended ctx.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// noSeat holds the keywords of a 421 that mean exit code 5.
var noSeat = map[protocol.Keyword]bool{
	protocol.KeywordBusy: true, protocol.KeywordWaitTimeout: true, protocol.KeywordEvicted: true,
}

// exitCode returns the exit code for an error of the client.
func exitCode(err error) int {
	reply, isReply := errors.AsType[*protocol.ReplyError](err)
	_, isLost := errors.AsType[lostError](err)
	_, isConnect := errors.AsType[*client.ConnectError](err)
	_, isDirectory := errors.AsType[noDirectory](err)
	switch {
	case isConnect, isDirectory, errors.Is(err, choose.ErrNoRig), errors.Is(err, control.ErrNoServer), errors.Is(err, fleet.ErrAway):
		return exitConnection
	case isLost || errors.Is(err, client.ErrBusy):
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

// packageNames matches the names of packages at the start of errors, which mean nothing to a user.
var packageNames = regexp.MustCompile(`(^|: |; )((client|hosts|pin|protocol|scram|server|audit|certs|users|state|control|durable|fleet|tls|x509|exec): )+`)

// systemCalls matches the calls that errors of files begin with. The file and the reason say what happened.
var systemCalls = regexp.MustCompile(`(^|: )(open|stat|lstat|fork/exec) (\S)`)

// plain removes parts of errors that repeat the words around them.
var plain = strings.NewReplacer(
	"554 failed the request failed: ", "", ": 554 failed the request failed", "",
	"no close_notify: unexpected EOF", "it was cut",
)

// message returns the text of an error for a person: without names of packages and system calls, and with escapes for
// what a terminal would act on or not show.
func message(err error) string {
	lines := strings.Split(plain.Replace(err.Error()), "\n")
	for i, line := range lines {
		line = systemCalls.ReplaceAllString(packageNames.ReplaceAllString(line, "$1"), "$1$3")
		lines[i] = show.Printable(line)
	}
	return strings.Join(lines, "\n")
}

// fileName returns a path in a form that message does not take for the name of a package.
func fileName(path string) string {
	if packageNames.MatchString(path + ": ") {
		return "." + string(filepath.Separator) + path
	}
	return path
}

// advice returns what the user can do about an error, or "".
func advice(err error) string {
	switch {
	case errors.Is(err, state.ErrDir):
		return ": choose another with --state"
	case errors.Is(err, state.ErrInUse):
		return ": stop it, or choose another directory with --state"
	case errors.Is(err, control.ErrNoServer) && errors.Is(err, fs.ErrPermission):
		return ": run it as the server's user, or as root"
	case errors.Is(err, control.ErrNoServer):
		return ": does a server run on this state directory? (--state names another)"
	case errors.Is(err, client.ErrTooLarge):
		return ": for larger ones give --max-body"
	case errors.Is(err, audit.ErrNoChain):
		return ": run `sallyport log verify` and move the file away"
	}
	return ""
}

// worded is an error with another text.
type worded struct {
	error
	text string
}

func (w worded) Error() string { return w.text }
func (w worded) Unwrap() error { return w.error }
