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
	"unicode/utf8"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/audit/show"
)

// maxRecordedBody bounds the bodies that a recording keeps, in bytes.
const maxRecordedBody = 4 << 10

// verbSay is the stock verb with a reply that depends on the operator.
const verbSay = "SAY"

// A Recording writes a session with a server as a scenario: each request, and its reply as a pattern that
// also matches other times, sizes, numbers and random words. Variables replace the user and the password
// everywhere. Make one with [NewRecording].
type Recording struct {
	w      io.Writer
	who    client.Credentials
	member string
	// size is the number of bytes written.
	size int
	// err is the first error of w.
	err error
}

// NewRecording begins a recording of a session of a user with the server at addr.
func NewRecording(w io.Writer, addr string, who client.Credentials, now time.Time) *Recording {
	t := &Recording{w: w, who: who, member: clientNames()[0]}
	t.write("# Recorded from a session with %s on %s.", show.Printable(addr), now.Format(time.DateOnly))
	t.write("#\n# The replies are patterns: read them, and make each as strict as it can be.")
	if who.Username != t.member {
		t.write("# To replay it there, the file of --users needs the line %s=USER:PASSWORD.", t.member)
	}
	return t
}

// Login records that the session begins.
func (t *Recording) Login() { t.write("\n%s login", t.member) }

// Allows returns an error for a request that can't be recorded. Call it before the request is sent.
func (t *Recording) Allows(r protocol.Request) error {
	switch {
	case strings.EqualFold(r.Verb, protocol.VerbOpen), strings.EqualFold(r.Verb, protocol.VerbStream):
		return errors.New("a stream can't be recorded: a password may be in it, typed key by key, which no search finds")
	case t.leaks(r.Verb+" "+r.Argument, r.Argument):
		return errors.New("the request can't be recorded: the password is in it")
	case len(r.Body) > maxRecordedBody:
		return fmt.Errorf("a body of %d bytes can't be recorded, but at most %d", len(r.Body), maxRecordedBody)
	}
	line, err := t.request(r)
	if err == nil && len(line) > maxLine {
		err = errors.New("the request can't be recorded: it is too long for a line of a scenario")
	}
	if err == nil && t.size > maxFile-4*maxLine {
		err = fmt.Errorf("the recording is full: it has %d bytes", t.size)
	}
	return err
}

// Exchange records a request with its reply, or that no reply came.
func (t *Recording) Exchange(r protocol.Request, reply protocol.Reply, err error) {
	refused, isReply := errors.AsType[*protocol.ReplyError](err)
	switch {
	case isReply && refused.Code == protocol.CodeClosing || err != nil && !isReply:
		t.note("a request had no reply")
	case reply.Code == protocol.CodeBye:
		t.Quit()
	default:
		line, _ := t.request(r) // Allows has checked it
		t.write("%s", line)
		t.write("%s", t.reply(r, reply))
	}
}

// request returns the line that sends a request.
func (t *Recording) request(r protocol.Request) (string, error) {
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

// body returns a body in the form of "ask-body".
func (t *Recording) body(body []byte) (string, error) {
	plain, err := bodyOf(string(body))
	if err == nil && bytes.Equal(plain, body) && isText(body) && !bytes.ContainsAny(body, "\r\n") && string(body) != captures {
		return t.words(string(body), quoteWord), nil
	}
	if t.leaks(string(body), "") {
		return "", errHexPassword
	}
	return hexPrefix + hex.EncodeToString(body), nil
}

var errHexPassword = errors.New("the request can't be recorded: its body has the password in it, and is no line of text")

// reply returns the line that expects a reply.
func (t *Recording) reply(r protocol.Request, reply protocol.Reply) string {
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
			return t.member + " hears-body " + body
		}
	case reply.Code == protocol.CodeBody && (len(text) > maxRecordedBody || !isText(reply.Body)):
	case strings.EqualFold(r.Verb, protocol.VerbHelp): // each server has its own verbs
	default:
		pattern = anchored(t.words(text, func(s string) string { return quoteWord(symbolic(s, asked)) }))
	}
	if full := line + " " + pattern; pattern != "" && len(full) <= maxLine {
		line = full
	}
	if strings.EqualFold(r.Verb, verbSay) {
		return "? " + line // the reply depends on whether an operator listens
	}
	return line
}

// anchored makes a pattern of quoted words and variables match a whole text.
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

// Notice records a notice as a comment: others caused it, and they are not there when the session is replayed.
func (t *Recording) Notice(n client.Notice) { t.note("%d %s", n.Code, n.Text) }

// Quit records that the client gave the seat back.
func (t *Recording) Quit() { t.write("%s quit", t.member) }

// End records why the session ended, unless err is nil, and returns the first error of the writer.
func (t *Recording) End(err error) error {
	if err != nil {
		t.note("the session ended: %v", err)
	}
	return t.err
}

// note writes a comment without the secret.
func (t *Recording) note(format string, args ...any) {
	text := t.words(fmt.Sprintf(format, args...), func(s string) string { return s })
	if t.leaks(text, "") {
		text = "(left out: it has the password in it)"
	}
	t.write("# %.1000s", show.Printable(text))
}

func (t *Recording) write(format string, args ...any) {
	n, err := fmt.Fprintf(t.w, format+"\n", args...)
	t.size += n
	t.err = cmp.Or(t.err, err)
}

// leaks reports whether a text contains the password in any case of its letters. It ignores the exact password
// in the part that is called replaced, because a variable replaces it there.
func (t *Recording) leaks(text, replaced string) bool {
	if t.who.Password == "" {
		return false
	}
	text = strings.TrimSuffix(text, replaced) + strings.ReplaceAll(replaced, t.who.Password, "\x00")
	return strings.Contains(strings.ToLower(text), strings.ToLower(t.who.Password))
}

// words returns a text with variables in place of the user and the password, and with show applied to the rest.
func (t *Recording) words(text string, show func(string) string) string {
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

// secret returns the variable for the password, or for the user's name as a whole word, that begins at i,
// and its length in bytes.
func (t *Recording) secret(text string, i int) (variable string, size int) {
	if p := t.who.Password; p != "" && strings.HasPrefix(text[i:], p) {
		return "_password", len(p)
	}
	u := t.who.Username
	if u != "" && strings.HasPrefix(text[i:], u) && !inWord(text[:i], len(text[:i])-1) && !inWord(text, i+len(u)) {
		return "_user", len(u)
	}
	return "", 0
}

// inWord reports whether the byte at i belongs to a word.
func inWord(text string, i int) bool {
	if i < 0 || i >= len(text) {
		return false
	}
	c := text[i]
	return c == '_' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80
}

// varying are texts that differ between runs, with a pattern for each. The first match applies.
var varying = []struct{ what, pattern string }{
	{`\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[-+]\d\d:?\d\d)?)?`, `[0-9][-0-9T:.Z+ ]*`}, // RFC 3339, and its parts
	{`\d\d?:\d\d(?::\d\d(?:\.\d+)?)?`, `[0-9][0-9:.]*`},
	{`[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}`, `[-0-9a-fA-F]+`}, // RFC 9562
	{`(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|h|m|s))+\b`, `[-+]?[0-9][0-9.nuµmsh]*`},  // a duration of Go's
	{`0[xX][0-9a-fA-F]+\b`, `0[xX][0-9a-fA-F]+`},
	{`[0-9a-fA-F]{16,}\b`, `[0-9a-fA-F]+`},
	{`[A-Za-z0-9+/_-]{20,}={0,2}`, `[-A-Za-z0-9+/_=]+`},         // base64, such as a nonce
	{`\d+(?:\.\d+)?(?:[eE][-+]?\d+)?`, `[-+]?[0-9][-+.0-9eE]*`}, // a number, whose sign may change
}

var varies = compileVarying()

func compileVarying() *regexp.Regexp {
	all := make([]string, len(varying))
	for i, v := range varying {
		all[i] = "(" + v.what + ")"
	}
	return regexp.MustCompile(`\b(?:` + strings.Join(all, "|") + ")")
}

// symbolic returns a regexp that matches the text, and texts that differ only in varying parts. Text of the
// request does not vary.
func symbolic(text, asked string) string {
	var out strings.Builder
	rest := 0
	for _, at := range varies.FindAllStringSubmatchIndex(text, -1) {
		start := at[0]
		if start > rest && strings.IndexByte("-+", text[start-1]) >= 0 && !inWord(text, start-2) {
			start-- // a sign
		}
		out.WriteString(quoteMeta(text[rest:start]))
		rest = at[1]
		found := text[start:at[1]]
		if strings.Contains(asked, found) || !strings.ContainsAny(found, "0123456789") {
			out.WriteString(quoteMeta(found))
			continue
		}
		for i, v := range varying {
			if at[2*i+2] >= 0 {
				out.WriteString(v.pattern)
			}
		}
	}
	return out.String() + quoteMeta(text[rest:])
}

// quoteMeta returns a regexp for the text, in printable characters.
func quoteMeta(text string) string {
	var out strings.Builder
	for _, r := range regexp.QuoteMeta(text) {
		switch {
		case r == '\n':
			out.WriteString(`\n`)
		case show.Visible(r):
			out.WriteRune(r)
		default:
			fmt.Fprintf(&out, `\x{%x}`, r)
		}
	}
	return out.String()
}

// quoteWord quotes a text as one word of a script.
func quoteWord(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// isText reports whether a body is text that a person can read.
func isText(body []byte) bool {
	return utf8.Valid(body) && !strings.ContainsFunc(string(body), func(r rune) bool {
		return !show.Visible(r) && r != '\n' && r != '\r'
	})
}
