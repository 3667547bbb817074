package scenarios

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/certs"
)

func serverMember() *member {
	return &member{
		summary: "the server in the process: start it with other options than the defaults",
		owns:    true,
		verbs: []verb{{
			args: "[OPTION=VALUE...]", most: many, run: doServer,
			summary: "The options are " + serverOptions + ". admission is queue, reject or takeover; backend is duplex, simplex (it can't end one direction alone), kept (open between streams), recorded (kept, and \"before\" is its backlog), echo or unreachable; watchers is how many clients may watch it; key is ecdsa, ed25519 or rsa; tls-min is 1.2 or 1.3; trust is a CIDR prefix (default 127.0.0.0/8) or none; client-ca demands a client certificate. This line comes before the first client.",
		}},
	}
}

// serverOptions are the names of the options.
const serverOptions = "admission depth per-user wait login-timeout idle-timeout session-limit request-timeout write-timeout max-body " +
	"max-lobby max-lobby-per-source max-failed-logins trust key tls-min client-ca require-binding log-payload log-names serve-unlogged backend watchers"

func doServer(_ context.Context, c *call) (string, error) {
	o, err := parseOptions(c.args, strings.Fields(serverOptions)...)
	if err != nil {
		return "", err
	}
	c.stage.mu.Lock()
	defer c.stage.mu.Unlock()
	if c.stage.host != nil {
		return "", errors.New("the server runs already: the server line comes before the first client")
	}
	_, err = c.stage.startLocked(o)
	return "", err
}

// configure changes a server as the options say.
func (o options) configure(s *server.Server) error {
	s.RequireBinding = s.RequireBinding || o.has("require-binding")
	s.LogPayload = s.LogPayload || o.has("log-payload")
	s.LogNames = s.LogNames || o.has("log-names")
	s.ServeUnlogged = s.ServeUnlogged || o.has("serve-unlogged")
	version, err := o.version("tls-min", "1.2", "1.3")
	if o.has("tls-min") {
		s.TLSConfig.MinVersion = version
	}
	if o.has("client-ca") {
		certs.DemandClient(s.TLSConfig, testserver.ClientCAs())
		s.Approve = certs.CheckClient
	}
	if o.has("admission") || o.has("depth") || o.has("per-user") || o.has("wait") {
		var bad error
		s.Admission, bad = o.admission()
		err = errors.Join(err, bad)
	}
	if o.has("trust") {
		var bad error
		s.Trust, bad = trusted(o["trust"])
		err = errors.Join(err, bad)
	}
	return errors.Join(err, o.limits(&s.Limits))
}

// trusted reads the value of trust.
func trusted(text string) ([]netip.Prefix, error) {
	if text == "none" {
		return nil, nil
	}
	prefix, err := netip.ParsePrefix(text)
	return []netip.Prefix{prefix}, err
}

func (o options) admission() (server.Admission, error) {
	var depth, perUser int
	var wait time.Duration
	if err := errors.Join(o.number("depth", &depth), o.number("per-user", &perUser), o.duration("wait", &wait)); err != nil {
		return nil, err
	}
	switch o["admission"] {
	case "reject":
		return server.Reject{}, nil
	case "takeover":
		return server.Takeover{Wait: wait}, nil
	}
	return server.Queue{Depth: depth, PerUser: perUser, Wait: wait}, oneOf("admission", cmp.Or(o["admission"], "queue"), "queue", "reject", "takeover")
}

func (o options) limits(l *server.Limits) error {
	body := int(l.Body)
	err := errors.Join(
		o.duration("login-timeout", &l.Login), o.duration("idle-timeout", &l.Idle),
		o.duration("session-limit", &l.Session), o.duration("request-timeout", &l.Request),
		o.duration("write-timeout", &l.Write), o.number("max-body", &body),
		o.number("max-lobby", &l.Lobby), o.number("max-lobby-per-source", &l.LobbyPerSource),
		o.number("max-failed-logins", &l.FailedLogins))
	l.Body = int64(body)
	return err
}

// options are key=value words.
type options map[string]string

// parseOptions reads the options of a command. A word without = is an option with an empty value.
func parseOptions(words []string, known ...string) (options, error) {
	all := options{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("unknown option %q; there are: %s", key, strings.Join(known, " "))
		}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("option %q is there twice", key)
		}
		all[key] = value
	}
	return all, nil
}

func (o options) has(key string) bool { _, ok := o[key]; return ok }

// text sets s to the value of an option. Without the option s keeps its value.
func (o options) text(key string, s *string) {
	if o.has(key) {
		*s = o[key]
	}
}

// number sets n to the value of an option, as text does.
func (o options) number(key string, n *int) error {
	return readOption(o, key, "number", n, strconv.Atoi)
}

// duration sets d to the value of an option, as text does.
func (o options) duration(key string, d *time.Duration) error {
	return readOption(o, key, "duration such as 200ms", d, time.ParseDuration)
}

func readOption[T any](o options, key, form string, into *T, parse func(string) (T, error)) error {
	if !o.has(key) {
		return nil
	}
	value, err := parse(o[key])
	if err != nil {
		return fmt.Errorf("%s=%q is no %s", key, o[key], form)
	}
	*into = value
	return nil
}

// version returns the version of TLS in an option. It is 0 for none, and without the option.
func (o options) version(key string, allowed ...string) (uint16, error) {
	versions := map[string]uint16{"1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	if !o.has(key) {
		return 0, nil
	}
	return versions[o[key]], oneOf(key, o[key], allowed...)
}

// certificate returns what gives the client's certificate to the server, or nil without the option. crypto/tls alone
// would keep back one whose CA the server does not name.
func (o options) certificate() (func(*tls.CertificateRequestInfo) (*tls.Certificate, error), error) {
	if !o.has("certificate") {
		return nil, nil
	}
	pair, err := testserver.ClientCertificate(o["certificate"])
	return func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }, err
}

// oneOf refuses a value that is not among those allowed.
func oneOf(what, value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return fmt.Errorf("%s can't be %q but one of %s", what, value, strings.Join(allowed, " "))
}

func operatorMember() *member {
	return &member{
		summary: "the person who runs the server",
		owns:    true,
		verbs: []verb{
			{name: "says", args: "TEXT", least: 1, most: 1, run: withHost(doOperatorSays), summary: "send a line to the seated client"},
			{name: "hears", args: "REGEXP", least: 1, most: 1, pattern: 1, check: true, run: withHost(doOperatorHears), summary: "a line that a client sent to the operator matches"},
			{name: "sees", args: "VERB", least: 1, most: 1, check: true, run: withHost(doSees), summary: "a handler of BLOCK or STUBBORN runs"},
			{name: "evicts", args: "[REASON]", most: 1, run: withHost(doEvicts), summary: "end the session of the seated client, and tell it why"},
			{name: "releases", run: plainly(func(h *host) error { h.letGo(); return nil }), summary: "let the handlers of BLOCK and STUBBORN return"},
			{name: "removes", args: "USER", least: 1, most: 1, run: withHost(doRemoves), summary: "remove a user"},
			{name: "changes-password", args: "USER PASSWORD", least: 2, most: 2, run: withHost(doChangesPassword), summary: "give a user another password"},
			{name: "loses-users", run: plainly(func(h *host) error { h.Users.Fail(errors.New("input/output error")); return nil }), summary: "the server can't read its users until finds-users"},
			{name: "finds-users", run: plainly(func(h *host) error { h.Users.Fail(nil); return nil }), summary: "the server can read its users again"},
			{name: "fills-disk", run: withHost(doFillsDisk), summary: "let each following write of the log fail"},
			{name: "reloads", run: plainly((*host).reload), summary: "give the server another certificate, the only one that clients trust from now on; sessions continue"},
			{name: "shuts-down", args: "[GRACE]", most: 1, run: withHost(doShutsDown), summary: "shut the server down; the command fails if that takes longer than GRACE"},
			{name: "kills", run: plainly(func(h *host) error { return h.Close() }), summary: "end the server at once"},
		},
	}
}

// withHost makes a verb of a function of the server in the process.
func withHost(do func(context.Context, *call, *host) error) func(context.Context, *call) (string, error) {
	return func(ctx context.Context, c *call) (string, error) {
		h, err := c.stage.own()
		if err != nil {
			return "", err
		}
		return "", do(ctx, c, h)
	}
}

func doOperatorSays(_ context.Context, c *call, h *host) error {
	c.stage.exchange("operator", "server", c.args[0])
	return h.Say(c.args[0])
}

func doOperatorHears(ctx context.Context, c *call, h *host) error {
	pattern, err := optionalRegexp(c.args)
	if err != nil {
		return err
	}
	var heard []string
	err = c.stage.await(ctx, func() (bool, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		heard = h.heard
		i := slices.IndexFunc(heard, pattern.MatchString)
		h.heard = heard[i+1:]
		return i >= 0, nil
	})
	if err != nil {
		err = fmt.Errorf("expected the operator to hear %q, heard %q: %w", pattern, heard, err)
	}
	return err
}

func doSees(ctx context.Context, c *call, h *host) error {
	return c.stage.await(ctx, func() (bool, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		i := slices.Index(h.runs, c.args[0])
		if i >= 0 {
			h.runs = slices.Delete(h.runs, i, i+1)
		}
		return i >= 0, nil
	})
}

func doEvicts(_ context.Context, c *call, h *host) error {
	_, err := h.Evict(nil, "operator", strings.Join(c.args, ""))
	return err
}

func doRemoves(_ context.Context, c *call, h *host) error {
	h.Users.Set(c.args[0], scram.Verifier{})
	return nil
}

func doChangesPassword(_ context.Context, c *call, h *host) error {
	v, err := scram.NewVerifier(c.args[1], nil, scram.MinIterations)
	if err == nil {
		h.Users.Set(c.args[0], v)
	}
	return err
}

func doFillsDisk(_ context.Context, _ *call, h *host) error {
	h.Log.Fail(errors.New("no space left on device"))
	return nil
}

func doShutsDown(ctx context.Context, c *call, h *host) error {
	if len(c.args) > 0 {
		grace, err := time.ParseDuration(c.args[0])
		if err != nil {
			return err
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, grace)
		defer cancel()
	}
	return h.Shutdown(ctx)
}

// plainly makes a verb of a method of the server in the process.
func plainly(do func(*host) error) func(context.Context, *call) (string, error) {
	return withHost(func(_ context.Context, _ *call, h *host) error { return do(h) })
}
