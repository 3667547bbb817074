package server

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/sallyport/sallyport/protocol"
)

// This file has every 4yz and 5yz reply of the server itself. They are errors until conn.sendLast or
// session.answer sends them.

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
	errBusy            = refusal(protocol.CodeClosing, protocol.KeywordBusy, "somebody else has the seat, and there is no place to wait: try again later")
	errBusyUser        = refusal(protocol.CodeClosing, protocol.KeywordBusy, "this user has all the places in the queue that one may have: try again later")
	errWaitTimeout     = refusal(protocol.CodeClosing, protocol.KeywordWaitTimeout, "the seat did not become free in time")
	errLoginTimeout    = refusal(protocol.CodeClosing, protocol.KeywordLoginTimeout, "the login took too long")
	errIdle            = refusal(protocol.CodeClosing, protocol.KeywordIdle, "no request for too long")
	errEvicted         = refusal(protocol.CodeClosing, protocol.KeywordEvicted, "somebody else took over")
	errSessionLimit    = refusal(protocol.CodeClosing, protocol.KeywordSessionLimit, "the time for one session is over")
	errShutdown        = refusal(protocol.CodeClosing, protocol.KeywordShutdown, "the server is shutting down")
	errTooManyErrors   = refusal(protocol.CodeClosing, protocol.KeywordTooManyErrors, "too many errors before the login")
	errTooManyCommands = refusal(protocol.CodeClosing, protocol.KeywordTooManyCommands, "too many commands before the login")
	errThrottled       = refusal(protocol.CodeClosing, protocol.KeywordThrottled, "too many failed logins from your address, try again later")
	errLogFailed       = refusal(protocol.CodeClosing, protocol.KeywordLogFailed, "the interaction log can't be written, tell the operator")

	errSyntax      = refusal(protocol.CodeSyntax, protocol.KeywordSyntax, "control character, bare CR or LF, or invalid UTF-8")
	errLineTooLong = refusal(protocol.CodeSyntax, protocol.KeywordLineTooLong, "a line has at most 8192 octets with its CRLF")
	errBodyForm    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "the form is BODY count VERB argument")
	errEarly       = refusal(protocol.CodeSequence, protocol.KeywordSequence, "wait for the 235 before the first request")
	errLoginFailed = refusal(protocol.CodeLoginFailed, protocol.KeywordLoginFailed, "authentication failed")
)

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
	errNoArgument    = refusal(protocol.CodeArgument, protocol.KeywordArgument, "an argument is missing")
	errFailed        = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the request failed")
	errOverdue       = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the request ran past its time limit")
	errUnsendable    = refusal(protocol.CodeFailed, protocol.KeywordFailed, "the result can't be sent as a line")
)

// Ends of the connection without a reply.
var (
	errQuit = errors.New("quit") // the reply was 221
	// errCut means that the peer ended the connection without close_notify, so its input may be incomplete.
	errCut     = errors.New("connection cut")
	errWrite   = errors.New("write failed")
	errBackend = errors.New("backend failed")
	errPanic   = errors.New("panic")
	// errHandlerExit means that a handler has ended its goroutine.
	errHandlerExit = errors.New("a handler called runtime.Goexit")
)

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
	switch {
	case errors.Is(err, errPanic):
		return "panic"
	case errors.Is(err, errQuit):
		return "quit"
	case errors.Is(err, io.EOF):
		return "closed"
	case errors.Is(err, errCut):
		return "cut"
	case errors.Is(err, errBackend):
		return "backend"
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
