package scenarios

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// maxTapeBody bounds the bodies that a recording keeps, in octets.
const maxTapeBody = 4 << 10

// verbSay is the stock verb whose reply depends on the operator.
const verbSay = "SAY"

// A Tape records a session with a server as a scenario that replays: each
// request, and its reply as a pattern in which what varies (times, sizes,
// numbers, random words) is symbolic. The user becomes a member of the cast, and
// the password its variable, wherever they occur. Make one with [NewTape].
type Tape struct {
	w      io.Writer
	who    client.Credentials
	member string
	octets int
	err    error // the first one of w
}

// NewTape begins a recording of a session of a user with the server at addr.
func NewTape(w io.Writer, addr string, who client.Credentials, now time.Time) *Tape {
	t := &Tape{w: w, who: who, member: clientNames()[0]}
	t.write("# Recorded from a session with %s on %s.", printableLine(addr), now.Format(time.DateOnly))
	t.write("#\n# What varies stands as a pattern: look through it, and make it as strict as it can be.")
	if who.Username != t.member {
		t.write("# To replay it there, the file of --users needs the line %s=USER:PASSWORD.", t.member)
	}
	return t
}

// Login notes that the session begins.
func (t *Tape) Login() { t.write("\n%s login", t.member) }

// Allows says why a request can't be recorded, before it is sent.
func (t *Tape) Allows(r protocol.Request) error {
	switch {
	case strings.EqualFold(r.Verb, protocol.VerbOpen):
		return errors.New("the stream of OPEN can't be recorded: it is no requests and replies")
	case t.leaks(r.Verb+" "+r.Argument, r.Argument):
		return errors.New("the request can't be recorded: the password is in it")
	case len(r.Body) > maxTapeBody:
		return fmt.Errorf("a body of %d octets can't be recorded, but at most %d", len(r.Body), maxTapeBody)
	}
	line, err := t.request(r)
	if err == nil && len(line) > maxLine {
		err = errors.New("the request can't be recorded: it is too long for a line of a scenario")
	}
	if err == nil && t.octets > maxFile-4*maxLine {
		err = fmt.Errorf("the recording is full: it has %d octets", t.octets)
	}
	return err
}

// Exchange records a request and what came of it.
func (t *Tape) Exchange(r protocol.Request, reply protocol.Reply, err error) {
	refused, isReply := errors.AsType[*protocol.ReplyError](err)
	switch {
	case isReply && refused.Code == protocol.CodeClosing || err != nil && !isReply:
		t.note("a request had no reply")
	case reply.Code == protocol.CodeBye:
		t.Quit()
	default:
		line, _ := t.request(r) // which Allows has seen
		t.write("%s", line)
		t.write("%s", t.reply(r, reply))
	}
}

// request is the line that asks it.
func (t *Tape) request(r protocol.Request) (string, error) {
	line := t.member + " ask "
	if r.Body != nil {
		body, err := t.body(r.Body)
		if err != nil {
			return "", err
		}
		line = t.member + " ask-body " + body + " "
	}
	line += strings.ToUpper(r.Verb)
	if r.Argument != "" {
		line += " " + t.words(r.Argument, quoteWord)
	}
	return line, nil
}

// body is a body as ask-body takes it.
func (t *Tape) body(body []byte) (string, error) {
	plain, err := bodyOf(string(body))
	if err == nil && bytes.Equal(plain, body) && isText(body) && !bytes.ContainsAny(body, "\r\n") && string(body) != captures {
		return t.words(string(body), quoteWord), nil
	}
	if t.leaks(string(body), "") {
		return "", errHexPassword
	}
	return hexPrefix + hex.EncodeToString(body), nil
}

// reply is the line that hears it.
func (t *Tape) reply(r protocol.Request, reply protocol.Reply) string {
	line := fmt.Sprintf("%s hears %d", t.member, reply.Code)
	asked := r.Argument + " " + string(r.Body)
	text := reply.Text
	if reply.Code == protocol.CodeBody {
		text = string(reply.Body)
	}
	pattern := ""
	switch {
	case t.leaks(text, text), reply.Code.Failure() && t.leaks(text, ""):
	case reply.Code.Failure():
		keyword, _, _ := strings.Cut(text, " ")
		pattern = quoteWord("^" + regexp.QuoteMeta(keyword) + "( |$)")
	case reply.Code == protocol.CodeBody && len(r.Body) > 0 && bytes.Equal(r.Body, reply.Body):
		if body, err := t.body(r.Body); err == nil {
			return fmt.Sprintf("%s hears-body %s", t.member, body)
		}
	case reply.Code == protocol.CodeBody && (len(text) > maxTapeBody || !isText(reply.Body)):
	case strings.EqualFold(r.Verb, protocol.VerbHelp): // each server has verbs of its own
	default:
		pattern = anchored(t.words(text, func(s string) string { return quoteWord(symbolic(s, asked)) }))
	}
	if full := line + " " + pattern; pattern != "" && len(full) <= maxLine {
		line = full
	}
	if strings.EqualFold(r.Verb, verbSay) {
		return "? " + line // whether an operator listens is none of the session's doing
	}
	return line
}

// anchored makes a pattern of quoted words and variables match all of a text.
func anchored(pattern string) string {
	if inner, quoted := strings.CutPrefix(pattern, "'"); quoted {
		pattern = "'^" + inner
	} else {
		pattern = "^" + pattern
	}
	if inner, quoted := strings.CutSuffix(pattern, "'"); quoted {
		return inner + "$'"
	}
	return pattern + "'$'"
}

// Notice records what the server said unasked as a comment: it is owed to what
// others did, who are not there when the session is replayed.
func (t *Tape) Notice(n client.Notice) { t.note("%d %s", n.Code, n.Text) }

// Quit records that the client gave the seat back.
func (t *Tape) Quit() { t.write("%s quit", t.member) }

// End tells why the session ended otherwise, if it did, and returns the first
// error of writing the recording.
func (t *Tape) End(err error) error {
	if err != nil {
		t.note("the session ended: %v", err)
	}
	return t.err
}

// note writes a comment without the secret.
func (t *Tape) note(format string, args ...any) {
	text := t.words(fmt.Sprintf(format, args...), func(s string) string { return s })
	if t.leaks(text, "") {
		text = "(what is not written here has the password in it)"
	}
	t.write("# %.1000s", printableLine(text))
}

func (t *Tape) write(format string, args ...any) {
	n, err := fmt.Fprintf(t.w, format+"\n", args...)
	t.octets += n
	t.err = cmp.Or(t.err, err)
}

// leaks reports whether the password is in a text in any case of its letters,
// beside where it is literally in the part in which a variable will stand for it.
func (t *Tape) leaks(text, replaced string) bool {
	if t.who.Password == "" {
		return false
	}
	text = strings.TrimSuffix(text, replaced) + strings.ReplaceAll(replaced, t.who.Password, "\x00")
	return strings.Contains(strings.ToLower(text), strings.ToLower(t.who.Password))
}

// words writes a text with variables where the user and the password are in it,
// and what is between them as show says.
func (t *Tape) words(text string, show func(string) string) string {
	var out strings.Builder
	rest := 0
	for i := 0; i < len(text); {
		name, n := t.secret(text, i)
		if n == 0 {
			i++
			continue
		}
		if i > rest {
			out.WriteString(show(text[rest:i]))
		}
		out.WriteString("$" + t.member + name)
		i += n
		rest = i
	}
	if rest < len(text) || text == "" {
		out.WriteString(show(text[rest:]))
	}
	return out.String()
}

// secret finds the password, or the user's name as a word of its own, at i.
func (t *Tape) secret(text string, i int) (variable string, octets int) {
	if p := t.who.Password; p != "" && strings.HasPrefix(text[i:], p) {
		return "_password", len(p)
	}
	u := t.who.Username
	if u != "" && strings.HasPrefix(text[i:], u) && !wordEnds(text[:i], len(text[:i])-1) && !wordEnds(text, i+len(u)) {
		return "_user", len(u)
	}
	return "", 0
}

// wordEnds reports whether the octet at i is one of a word.
func wordEnds(text string, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}
