package probe

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// A Caller carries the messages of one login to a server under test. The prober is the client.
type Caller interface {
	// Open reads the greeting, begins TLS where the dialect does that within the connection, and returns the offer.
	Open(l *Link) (Offer, error)
	// Start begins the login with client-first.
	Start(mechanism string, initial []byte) (Answer, error)
	// Next answers a challenge. The response is empty after server-final.
	Next(response []byte) (Answer, error)
	// Leave says goodbye if the protocol has a word for it. The prober closes the connection afterwards.
	Leave()
}

// An Offer has the mechanisms that a server offers.
type Offer struct {
	Mechanisms []string
	// Banner is the product and version that the server announces. It may be empty.
	Banner string
}

// An Answer is the answer of a server to a SASL message.
type Answer struct {
	Kind Kind
	// Data is the message of a challenge or a success. Nil means none.
	Data []byte
	// Words are the server's own words. They may be empty.
	Words string
	// Product is the product and version, if the server announces them only after a login. Otherwise it is empty.
	Product string
}

// Kind is the kind of an [Answer].
type Kind int

// The kinds of answers.
const (
	Refusal Kind = iota
	Challenge
	Success
)

// A Host carries the messages of one login of a client under test. The prober is the server.
type Host interface {
	// Open greets the client, offers mechanisms, begins TLS, and returns the client's choice and client-first.
	Open(l *Link, mechanisms []string) (mechanism string, initial []byte, err error)
	// Challenge sends server-first, and returns client-final.
	Challenge(message []byte) (response []byte, err error)
	// Succeed sends server-final, unless it is nil, and the protocol's success. Then it serves the client until the
	// client ends the connection. next is the first line that only a client sends that believes it is logged in, or
	// empty.
	Succeed(message []byte) (next string, err error)
	// Refuse sends the protocol's failure, and returns when the client ends the connection.
	Refuse() error
}

// A dialect is a protocol that carries SASL messages.
type dialect struct {
	port string
	// direct means that TLS begins before the greeting.
	direct bool
	alpn   []string
	// short means that a line of the protocol is too short for a message of 8,192 bytes.
	short bool
	// nameless means that the name of the user is not taken from the SCRAM messages.
	nameless bool
	// ownBinding means that the protocol names its type of channel binding, so the default of RFC 5802 §6.1 and RFC
	// 9266 §3 does not apply.
	ownBinding bool
	// path means that the URL may have a path: a domain or a database.
	path bool
	// success and failure are the words with which a server ends a login.
	success, failure string
	caller           func(Target, Account) Caller
	host             func() Host
}

// dialects are the dialects by the scheme of the URL. stdio is a dialect without a connection.
var dialects = map[string]dialect{
	"sallyport": {
		port: "7443", direct: true, short: true, alpn: []string{"sallyport/1"}, success: smtpSuccess, failure: smtpFailure,
		caller: func(Target, Account) Caller { return &smtpCaller{native: true} },
		host:   func() Host { return &smtpHost{native: true} },
	},
	"smtp": {
		port: "587", short: true, success: smtpSuccess, failure: smtpFailure,
		caller: func(Target, Account) Caller { return &smtpCaller{} }, host: func() Host { return &smtpHost{} },
	},
	"smtps": {
		port: "465", direct: true, short: true, success: smtpSuccess, failure: smtpFailure,
		caller: func(Target, Account) Caller { return &smtpCaller{} }, host: func() Host { return &smtpHost{} },
	},
	"imap":  {port: "143", short: true, caller: func(Target, Account) Caller { return &imapCaller{} }},
	"imaps": {port: "993", direct: true, short: true, caller: func(Target, Account) Caller { return &imapCaller{} }},
	"xmpp":  {port: "5222", path: true, caller: newXMPP},
	"xmpps": {port: "5223", path: true, direct: true, alpn: []string{"xmpp-client"}, caller: newXMPP},
	"postgres": {
		port: "5432", path: true, nameless: true, ownBinding: true, // tls-server-end-point
		success: "(AuthenticationOk without AuthenticationSASLFinal)", failure: "(ErrorResponse)",
		caller: func(t Target, who Account) Caller { return &postgresCaller{user: who.Name, database: t.Path} },
		host:   func() Host { return &postgresHost{} },
	},
	"stdio": {
		success: "(ok without a message)", failure: "(no)",
		caller: func(Target, Account) Caller { return &stdioCaller{} }, host: func() Host { return &stdioHost{} },
	},
}

const smtpSuccess, smtpFailure = "(235 without server-final)", "(535)"

func newXMPP(t Target, _ Account) Caller { return &xmppCaller{domain: cmp.Or(t.Path, t.Host)} }

// Dialects returns the schemes of all dialects.
func Dialects() []string { return slices.Sorted(maps.Keys(dialects)) }

// A Target is the address of a peer under test. Make one with [ParseTarget].
type Target struct {
	// Dialect is the scheme of the URL.
	Dialect string
	// Host is the name in the URL, and the name that a server's certificate must have.
	Host, Port string
	// Path is the part of the URL behind the address: a domain or a database. It may be empty.
	Path string
}

// Addr returns host and port.
func (t Target) Addr() string { return net.JoinHostPort(t.Host, t.Port) }

func (t Target) String() string {
	switch {
	case t.Dialect == "stdio":
		return "stdio:"
	case t.Path == "":
		return t.Dialect + "://" + t.Addr()
	}
	return t.Dialect + "://" + t.Addr() + "/" + t.Path
}

// ParseTarget parses a URL such as smtps://mail.example:465 or stdio:.
func ParseTarget(text string) (Target, error) {
	u, err := url.Parse(text)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return Target{}, fmt.Errorf("%q is no URL: %s", text, strings.TrimPrefix(err.Error(), "net/url: "))
	}
	d, known := dialects[u.Scheme]
	t := Target{Dialect: u.Scheme, Host: u.Hostname(), Port: cmp.Or(u.Port(), d.port), Path: strings.Trim(u.Path, "/")}
	_, noPort := strconv.ParseUint(t.Port, 10, 16)
	wrong := ""
	switch {
	case !known:
		wrong = " has no known protocol: give one of " + strings.Join(Dialects(), ", ") + ", as in smtps://HOST:PORT"
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		wrong = ": a user (see --user), ? and # are not for this URL"
	case u.Scheme == "stdio" && (u.Opaque != "" || u.Host != "" || t.Path != ""):
		wrong = ": nothing may follow the colon of stdio"
	case u.Scheme != "stdio" && t.Host == "":
		wrong = " has no host: write " + u.Scheme + "://HOST:PORT"
	case u.Scheme != "stdio" && noPort != nil:
		wrong = ": the highest port is 65535"
	case t.Path != "" && !d.path:
		wrong = ": nothing may follow the port of " + u.Scheme
	}
	if wrong != "" {
		return Target{}, fmt.Errorf("%q%s", u.Redacted(), wrong)
	}
	return t, nil
}

func encode(p []byte) string { return base64.StdEncoding.EncodeToString(p) }

// orEqual returns base64, with = for an empty message that is not nil.
func orEqual(p []byte) string {
	if len(p) == 0 {
		return "="
	}
	return encode(p)
}

// decode decodes the base64 of a protocol. "=" and "" are the empty message.
func decode(text string) ([]byte, error) {
	if text == "" || text == "=" {
		return []byte{}, nil
	}
	p, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %.80q is not base64", errWords, text)
	}
	return p, nil
}
