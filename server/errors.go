package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/capability"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/joint"
)

// This file has the 4yz and 5yz replies of the server itself; Server.init, seat.ask and Server.Evict have those
// that name a limit or a person. They are errors until conn.sendLast or session.answer sends them.

func refusal(code protocol.Code, keyword protocol.Keyword, text string) *protocol.ReplyError {
	return &protocol.ReplyError{Code: code, Keyword: keyword, Text: text}
}

// Refuse returns an error for a handler that refuses a request. The reply is "550 refused" and the text,
// which must not contain a line end.
func Refuse(text string) error {
	return refusal(protocol.CodeRefused, protocol.KeywordRefused, text)
}

// Replies that end the connection.
var (
	errLoginTimeout    = refusal(protocol.CodeClosing, protocol.KeywordLoginTimeout, "the login took too long")
	errShutdown        = refusal(protocol.CodeClosing, protocol.KeywordShutdown, "the server is shutting down")
	errTooManyErrors   = refusal(protocol.CodeClosing, protocol.KeywordTooManyErrors, "too many errors before the login")
	errTooManyCommands = refusal(protocol.CodeClosing, protocol.KeywordTooManyCommands, "too many commands before the login")
	errThrottled       = refusal(protocol.CodeClosing, protocol.KeywordThrottled, "too many failed logins from your address, try again later")
	errLogFailed       = refusal(protocol.CodeClosing, protocol.KeywordLogFailed, "the interaction log can't be written, tell the operator")

	errSyntax      = refusal(protocol.CodeSyntax, protocol.KeywordSyntax, "control character, bare CR or LF, or invalid UTF-8")
	errLineTooLong = refusal(protocol.CodeSyntax, protocol.KeywordLineTooLong, "a line has at most 8192 octets with its CRLF")
	errBodyForm    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "the form is BODY count VERB argument")
	errLastWord    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "no such last word, see LAST in EHLO")
	errEarly       = refusal(protocol.CodeSequence, protocol.KeywordSequence, "wait for the 235 before the first request")
	errPieceForm   = refusal(protocol.CodeArgument, protocol.KeywordArgument, "malformed DATA, LINE or WINDOW, or a piece of more than 65536 octets")
	errInStream    = refusal(protocol.CodeSequence, protocol.KeywordSequence, "DATA 0 or ABORT must come before the next command, and no DATA behind it")
	errNoStream    = refusal(protocol.CodeSequence, protocol.KeywordSequence, "no stream runs")
	errLoginFailed = refusal(protocol.CodeLoginFailed, protocol.KeywordLoginFailed, "authentication failed")
)

// eviction is the reply to a client that has to leave, and the name of the one who evicts it.
type eviction struct {
	*protocol.ReplyError
	by string
}

func tooLarge(limit int64) *protocol.ReplyError {
	return refusal(protocol.CodeTooLarge, protocol.KeywordTooLarge, fmt.Sprintf("a body has at most %d octets", limit))
}

// Replies to one command, after which the connection stays open.
var (
	errUnknown       = refusal(protocol.CodeSyntax, protocol.KeywordUnknownCommand, "see HELP")
	errSequence      = refusal(protocol.CodeSequence, protocol.KeywordSequence, "you are logged in already")
	errLoginRequired = refusal(protocol.CodeLoginRequired, protocol.KeywordLoginRequired, "log in with AUTH first")
	errEhloName      = refusal(protocol.CodeArgument, protocol.KeywordArgument, "the form is EHLO name")
	errAuthForm      = refusal(protocol.CodeArgument, protocol.KeywordArgument, "the form is AUTH mechanism initial-response")
	errTemporary     = refusal(protocol.CodeTemporary, protocol.KeywordTemporary, "the users can't be read now, try again later")
	errMechanism     = refusal(protocol.CodeMechanism, protocol.KeywordMechanism, "not offered, see EHLO")
	errBase64        = refusal(protocol.CodeArgument, protocol.KeywordBase64, "not canonical base64")
	errCancelled     = refusal(protocol.CodeArgument, protocol.KeywordCancelled, "the login was cancelled")
	errStreamForm    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "STREAM takes no argument and no body")
	errNoArgument    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "an argument is missing")
	errFailed        = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the request failed")
	errOverdue       = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the request ran past its time limit")
	errUnsendable    = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the result can't be sent as a line")
)

// errNotApproved is a good proof that Server.Approve refuses. It is the reason in the log.
const errNotApproved = scram.Error("certificate")

// Ends of the connection without a reply.
var (
	errQuit = ending("quit")          // the reply was 221
	errStat = ending(capability.Stat) // the reply was the lines of STAT
	// errCut means that the peer ended the connection without close_notify, so its input may be incomplete.
	errCut   = ending("cut")
	errPanic = ending("panic")
	errWrite = errors.New("write failed")
	// errHandlerExit means that a handler has ended its goroutine.
	errHandlerExit = errors.New("a handler called runtime.Goexit")
)

// ending is an end whose name is the reason in the log.
type ending string

func (e ending) Error() string { return string(e) }

// errDropped means that the connection has made room in the lobby for another. It is the reason in the log.
type errDropped string

func (e errDropped) Error() string { return string(e) }

// lineError returns the reply for an error of reading a line, or the error itself.
func lineError(err error) error {
	switch {
	case errors.Is(err, protocol.ErrSyntax):
		return errSyntax
	case errors.Is(err, protocol.ErrLineTooLong):
		return errLineTooLong
	}
	return err
}

// reason returns the log's word for the end of a connection.
func reason(err error) string {
	switch end := err.(type) {
	case streamEnd:
		return reason(end.cause)
	case answered:
		return string(end.Keyword)
	case errDropped:
		return string(end)
	}
	if reply, ok := errors.AsType[*protocol.ReplyError](err); ok {
		return string(reply.Keyword)
	}
	if end, ok := errors.AsType[ending](err); ok {
		return string(end)
	}
	switch {
	case errors.Is(err, joint.ErrBackend):
		return "backend"
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.Is(err, ErrServerClosed), errors.Is(err, net.ErrClosed): // only the server itself closes it
		return string(protocol.KeywordShutdown)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.Is(err, syscall.ETIMEDOUT), errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "vanished"
	case errors.Is(err, errWrite):
		return "write"
	}
	return "error"
}
