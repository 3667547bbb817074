package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// DefaultMaxBody is the default limit in bytes for the body of a request (on the server) and of a
// reply (on the client).
const DefaultMaxBody = 1 << 20

// MaxVerb is the maximum length of a verb in bytes.
const MaxVerb = 32

// ErrArgument means that the argument of a command is malformed. After a malformed BODY the
// connection can't go on, because the start of the next command is unknown.
var ErrArgument = errors.New("protocol: malformed argument")

// Command is a parsed command line. Verb and Argument are slices of the line.
type Command struct {
	// Verb is the verb as it was sent, in upper, lower or mixed case.
	Verb []byte
	// Argument is the rest of the line, unchanged.
	Argument []byte
	// HasBody reports whether the command has the form BODY n VERB.
	HasBody bool
	// Body is the number of bytes that follow the line.
	Body int64
}

// ParseCommand parses a line without its CRLF. The only error is ErrArgument, for a BODY that is not
// "BODY n VERB [argument]".
func ParseCommand(line []byte) (Command, error) {
	verb, argument, _ := bytes.Cut(line, []byte{' '})
	if !bytes.EqualFold(verb, []byte(VerbBody)) {
		return Command{Verb: verb, Argument: argument}, nil
	}
	count, rest, _ := bytes.Cut(argument, []byte{' '})
	n, err := ParseCount(count)
	if err != nil {
		return Command{}, err
	}
	verb, argument, _ = bytes.Cut(rest, []byte{' '})
	if len(verb) == 0 {
		return Command{}, ErrArgument
	}
	return Command{Verb: verb, Argument: argument, HasBody: true, Body: n}, nil
}

// ParseCount parses a decimal number without sign or leading zero. A number beyond int64 becomes the
// greatest int64, which is over every limit too.
func ParseCount(digits []byte) (int64, error) {
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if len(digits) > 1 && digits[0] == '0' || err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, ErrArgument
	}
	return int64(n), nil
}

// AppendUpper appends the verb in upper case, the form in which verbs are compared and logged. It cuts
// a verb after MaxVerb+1 bytes, which is enough to see that no such verb is known.
func AppendUpper(dst, verb []byte) []byte {
	for _, c := range verb[:min(len(verb), MaxVerb+1)] {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// ValidVerb reports whether a handler can have this verb: 1 to MaxVerb upper-case letters, digits and
// hyphens, beginning with a letter.
func ValidVerb(verb string) bool {
	for i := range len(verb) {
		letter := verb[i] >= 'A' && verb[i] <= 'Z'
		other := verb[i] >= '0' && verb[i] <= '9' || verb[i] == '-'
		if !letter && (!other || i == 0) {
			return false
		}
	}
	return len(verb) > 0 && len(verb) <= MaxVerb
}

// Request is a request of a client.
type Request struct {
	Verb     string
	Argument string
	// Body follows the command line. Nil means no body, which differs from an empty one.
	Body []byte
}

// Append appends the command line of the request with its CRLF, without the body. It fails with
// ErrSyntax or ErrLineTooLong if the line would be invalid.
func (r *Request) Append(dst []byte) ([]byte, error) {
	start := len(dst)
	if r.Body != nil {
		dst = append(dst, VerbBody...)
		dst = append(dst, ' ')
		dst = strconv.AppendInt(dst, int64(len(r.Body)), 10)
		dst = append(dst, ' ')
	}
	dst = append(dst, r.Verb...)
	if r.Argument != "" {
		dst = append(dst, ' ')
		dst = append(dst, r.Argument...)
	}
	return endLine(dst, start)
}

// endLine validates the line that begins at start and appends its CRLF.
func endLine(dst []byte, start int) ([]byte, error) {
	if len(dst)-start+2 > MaxLine {
		return dst[:start], ErrLineTooLong
	}
	if !validText(dst[start:]) {
		return dst[:start], ErrSyntax
	}
	return append(dst, '\r', '\n'), nil
}
