package protocol

// ALPN is the protocol id that a native client offers in the TLS handshake (RFC 7301).
const ALPN = "sallyport/1"

// Code is a three-digit reply code in the sense of RFC 5321 §4.2.
type Code int

// The reply codes of the protocol. README.md has the form of each text.
const (
	CodePosition      Code = 120 // place in the queue, to a client that waits
	CodeWaiting       Code = 121 // number of waiting clients, to the seated client
	CodeWatching      Code = 122 // number of watchers, to the seated client
	CodeMessage       Code = 150 // message from the operator, or of the session's end
	CodePiece         Code = 151 // in a STREAM: the text is N, and N bytes of the backend follow the line
	CodeStreaming     Code = 152 // in a STREAM: the backend is reached
	CodeTaken         Code = 153 // in a STREAM: number of bytes that the backend has taken, after PING
	CodeReady         Code = 220 // greeting
	CodeBye           Code = 221 // reply to QUIT
	CodeSeated        Code = 235 // logged in and seated
	CodeDone          Code = 250 // success; the text is the result
	CodeBody          Code = 251 // success; the text is N, and N bytes of result follow the line
	CodeOpen          Code = 252 // the connection becomes a raw stream
	CodeChallenge     Code = 334 // SASL challenge in base64
	CodeClosing       Code = 421 // the server closes the connection
	CodeTemporary     Code = 454 // no login is possible now (RFC 4954 §6)
	CodeSyntax        Code = 500 // the line is no command
	CodeArgument      Code = 501 // the argument is malformed
	CodeSequence      Code = 503 // the command is not allowed now
	CodeMechanism     Code = 504 // the mechanism is not offered
	CodeLoginRequired Code = 530 // the command needs a login first
	CodeLoginFailed   Code = 535 // the login failed
	CodeRefused       Code = 550 // the handler refused the request
	CodeTooLarge      Code = 552 // the body is over the limit
	CodeFailed        Code = 554 // the handler failed
)

// Notice reports whether the code is a 1yz that answers no command and comes between replies. The three of a STREAM
// are none.
func (c Code) Notice() bool { return c >= 100 && c < 200 && (c < CodePiece || c > CodeTaken) }

// Failure reports whether the code is a 4yz or 5yz. The text of a failure begins with a [Keyword].
func (c Code) Failure() bool { return c >= 400 && c < 600 }

// Keyword is the machine-readable first word of every 4yz and 5yz text.
type Keyword string

// Keywords of 421 say why the server closes the connection.
const (
	KeywordBusy            Keyword = "busy"
	KeywordWaitTimeout     Keyword = "wait-timeout"
	KeywordLoginTimeout    Keyword = "login-timeout"
	KeywordIdle            Keyword = "idle"
	KeywordEvicted         Keyword = "evicted"
	KeywordSessionLimit    Keyword = "session-limit"
	KeywordShutdown        Keyword = "shutdown"
	KeywordTooManyErrors   Keyword = "too-many-errors"
	KeywordTooManyCommands Keyword = "too-many-commands"
	KeywordThrottled       Keyword = "throttled"
	KeywordLogFailed       Keyword = "log-failed"
	KeywordTooSlow         Keyword = "too-slow"
)

// Keywords of the other codes.
const (
	KeywordTemporary      Keyword = "temporary"       // 454
	KeywordSyntax         Keyword = "syntax"          // 500
	KeywordLineTooLong    Keyword = "line-too-long"   // 500
	KeywordUnknownCommand Keyword = "unknown-command" // 500
	KeywordArgument       Keyword = "argument"        // 501
	KeywordBase64         Keyword = "base64"          // 501
	KeywordCancelled      Keyword = "cancelled"       // 501
	KeywordSequence       Keyword = "sequence"        // 503
	KeywordMechanism      Keyword = "mechanism"       // 504
	KeywordLoginRequired  Keyword = "login-required"  // 530
	KeywordLoginFailed    Keyword = "login-failed"    // 535
	KeywordRefused        Keyword = "refused"         // 550
	KeywordTooLarge       Keyword = "too-large"       // 552
	KeywordFailed         Keyword = "failed"          // 554
)

// Verbs that the protocol defines. Handlers add others.
const (
	VerbAuth   = "AUTH"
	VerbBody   = "BODY"
	VerbEhlo   = "EHLO"
	VerbHelp   = "HELP"
	VerbNoop   = "NOOP"
	VerbOpen   = "OPEN"
	VerbQuit   = "QUIT"
	VerbStream = "STREAM"
	VerbWhoami = "WHOAMI"
)

// Verbs of the lines in a STREAM, which package piece parses.
const (
	VerbAbort  = "ABORT"
	VerbBreak  = "BREAK"
	VerbData   = "DATA"
	VerbLine   = "LINE"
	VerbPing   = "PING"
	VerbWindow = "WINDOW"
)
