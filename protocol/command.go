package protocol

import (
	"bytes"
	"errors"
	"strconv"
)

// DefaultMaxBody is the greatest body in octets that a server takes and a client accepts unless it
// is told otherwise.
const DefaultMaxBody = 1 << 20

// MaxVerb is the greatest length of a verb in octets.
const MaxVerb = 32

// ErrArgument: a command whose argument is not of the form it must have. After a BODY with such an
// argument nobody knows where the next command starts.
var ErrArgument = errors.New("protocol: malformed argument")

// Command is one line of a client, taken apart. Verb and Argument point into the line.
type Command struct {
	Verb     []byte // as sent, in whatever case
	Argument []byte // the rest of the line as it is
	HasBody  bool   // sent as BODY n VERB
	Body     int64  // the number of octets that follow the line
}

// ParseCommand takes a line, without its CRLF, apart. The only error is ErrArgument, for a BODY
// that is not "BODY n VERB [argument]".
func ParseCommand(line []byte) (Command, error) {
	verb, argument, _ := bytes.Cut(line, []byte{' '})
	if !bytes.EqualFold(verb, []byte(VerbBody)) {
		return Command{Verb: verb, Argument: argument}, nil
	}
	count, rest, _ := bytes.Cut(argument, []byte{' '})
	n, err := parseCount(count)
	if err != nil {
		return Command{}, err
	}
	verb, argument, _ = bytes.Cut(rest, []byte{' '})
	if len(verb) == 0 {
		return Command{}, ErrArgument
	}
	return Command{Verb: verb, Argument: argument, HasBody: true, Body: n}, nil
}

// parseCount reads a decimal number without sign or leading zero. One that doesn't fit is as good as
// the greatest: over every limit.
func parseCount(digits []byte) (int64, error) {
	n, err := strconv.ParseUint(string(digits), 10, 63)
	if len(digits) > 1 && digits[0] == '0' || err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, ErrArgument
	}
	return int64(n), nil
}

// AppendUpper appends the verb in upper case, as it is compared and logged. A verb of more than
// MaxVerb octets is cut: none so long is known.
func AppendUpper(dst, verb []byte) []byte {
	for _, c := range verb[:min(len(verb), MaxVerb+1)] {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

// ValidVerb reports whether a handler can be reached under this verb: 1 to MaxVerb upper-case
// letters, digits and hyphens, a letter first.
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

// Request is what a client asks for.
type Request struct {
	Verb     string
	Argument string
	// Body is sent behind the command. Nil sends none, which is not the same as an empty one.
	Body []byte
	// Buffer is where the octets of a 251 are put if its capacity suffices. Nil makes a new slice
	// for each.
	Buffer []byte
}

// Append appends the command line of the request, with its CRLF and without the body. It fails with
// ErrSyntax or ErrLineTooLong where the line would not be one.
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

// endLine checks the line that begins at start and ends it.
func endLine(dst []byte, start int) ([]byte, error) {
	if len(dst)-start+2 > MaxLine {
		return dst[:start], ErrLineTooLong
	}
	if !validText(dst[start:]) {
		return dst[:start], ErrSyntax
	}
	return append(dst, '\r', '\n'), nil
}
