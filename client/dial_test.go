package client

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/scram"
)

func dialOnce(t *testing.T, d *Dialer, config *tls.Config, script func(*session)) error {
	t.Helper()
	c, err := d.Dial(testContext(t), serve(t, config, script), alice)
	if err == nil {
		c.Close()
	}
	return err
}

func TestLoginIsBound(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		version        uint16
		mode           BindingMode
		mechanism, gs2 string
	}{
		"TLS 1.3":         {tls.VersionTLS13, BindingRequired, scram.SHA256Plus, "p=tls-exporter,,"},
		"TLS 1.2":         {tls.VersionTLS12, BindingRequired, scram.SHA256Plus, "p=tls-server-end-point,,"},
		"an unknown mode": {tls.VersionTLS13, 7, scram.SHA256Plus, "p=tls-exporter,,"},
		"TLS 1.3, none":   {tls.VersionTLS13, BindingNone, scram.SHA256, "n,,"},
		"TLS 1.2, none":   {tls.VersionTLS12, BindingNone, scram.SHA256, "n,,"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, server, config := dialer(), honest(), serverTLS()
			d.ChannelBinding, d.TLSConfig.MinVersion = test.mode, tls.VersionTLS12
			config.MaxVersion = test.version
			server.seen = func(mechanism, first, final string) {
				if mechanism != test.mechanism || !strings.HasPrefix(first, test.gs2) {
					t.Errorf("%s %q", mechanism, first)
				}
				if bound := len(strings.Split(final, ",")[0]) > len("c="+b64("p=tls-server-end-point,,")); bound != (test.mode != BindingNone) {
					t.Errorf("client-final is %q", final)
				}
			}
			if err := dialOnce(t, d, config, server.login); err != nil {
				t.Error(err)
			}
		})
	}
}

// The project's own server side, which checks what the scripted ones don't.
func TestLoginWithScramServer(t *testing.T) {
	t.Parallel()
	verifier, err := scram.NewVerifier(alice.Password, nil, 4096)
	if err != nil {
		t.Fatal(err)
	}
	addr := serve(t, serverTLS(), func(s *session) {
		state := s.conn.ConnectionState()
		binding, err := scram.TLSExporter(state.ExportKeyingMaterial)
		if err != nil {
			t.Error(err)
		}
		server := scram.NewServer(scram.ServerConfig{
			Mechanism: scram.SHA256Plus, PlusOffered: true, Bindings: []scram.ChannelBinding{binding},
			Lookup: func(string) (scram.Verifier, bool) { return verifier, true },
		})
		_, _, encoded := cut3(s.line())
		message, err := decode(encoded)
		if err == nil {
			message, err = server.First(message)
		}
		if err != nil {
			s.send("220 ready", "535 login-failed no")
			return
		}
		s.send("220 ready", "334 "+b64(string(message)))
		message, _ = decode(s.line())
		if message, err = server.Final(message); err != nil {
			s.send("535 login-failed no")
			return
		}
		s.send("334 "+b64(string(message)), "235 welcome")
	})
	d := dialer()
	d.Keys = new(scram.KeyCache)
	for range 2 { // the second with the cached keys
		c, err := d.Dial(testContext(t), addr, alice)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	for _, wrong := range []Credentials{{Username: "alice", Password: "x"}, {Username: "alice", Password: alice.Password, Authzid: "bob"}} {
		if c, err := d.Dial(testContext(t), addr, wrong); !errors.Is(err, ErrLoginFailed) {
			t.Error(c, err)
		}
	}
}

func isReply(err error, code protocol.Code, keyword protocol.Keyword) bool {
	var reply *protocol.ReplyError
	return errors.As(err, &reply) && reply.Code == code && reply.Keyword == keyword
}

func TestRogueServers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", protocol.MaxLine)
	lines := func(lines ...string) func(string) []string { return func(string) []string { return lines } }
	for name, test := range map[string]struct {
		change func(*rogue)
		want   []error // nil: the login succeeds
	}{
		"nothing wrong":       {func(*rogue) {}, nil},
		"most iterations":     {func(r *rogue) { r.iterations = "100000" }, nil},
		"optional extension":  {func(r *rogue) { r.first = func(s string) string { return s + ",x=y" } }, nil},
		"extension at end":    {func(r *rogue) { r.final = func(s string) string { return s + ",x=y" } }, nil},
		"multi-line greeting": {func(r *rogue) { r.greeting = "220-a\r\n220 b" }, nil},
		"notices":             {func(r *rogue) { r.seat = []string{"120 position 1 holder bob", "121 waiting 3", "150 x", "235 ok"} }, nil},
		"a flood of notices": {func(r *rogue) {
			r.seat = append(strings.Split(strings.Repeat("120 position 1 holder bob\n", 5000), "\n")[:5000], "235 ok")
		}, nil},

		"no iterations":         {func(r *rogue) { r.iterations = "0" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"1 iteration":           {func(r *rogue) { r.iterations = "1" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"4095 iterations":       {func(r *rogue) { r.iterations = "4095" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"negative iterations":   {func(r *rogue) { r.iterations = "-4096" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"iterations and more":   {func(r *rogue) { r.iterations = "4096abc" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"2^31 iterations":       {func(r *rogue) { r.iterations = "2147483648" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"2^63 iterations":       {func(r *rogue) { r.iterations = "9223372036854775808" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"50,000,000 iterations": {func(r *rogue) { r.iterations = "50000000" }, []error{ErrServerUnverified, scram.ErrIterations}},
		"nonce not extended":    {func(r *rogue) { r.nonce = func(c string) string { return c } }, []error{ErrServerUnverified, scram.ErrNonce}},
		"foreign nonce":         {func(r *rogue) { r.nonce = func(c string) string { return "x" + c } }, []error{ErrServerUnverified, scram.ErrNonce}},
		"nonce cut":             {func(r *rogue) { r.nonce = func(c string) string { return c[1:] + "server" } }, []error{ErrServerUnverified, scram.ErrNonce}},
		"salt empty":            {func(r *rogue) { r.salt = "" }, []error{ErrServerUnverified, scram.ErrMalformed}},
		"salt no base64":        {func(r *rogue) { r.salt = "???" }, []error{ErrServerUnverified, scram.ErrMalformed}},
		"salt over the line":    {func(r *rogue) { r.salt = b64(strings.Repeat("x", 1<<20)) }, []error{ErrProtocol, protocol.ErrLineTooLong}},
		"duplicate attribute":   {func(r *rogue) { r.first = func(s string) string { return s + ",i=4096" } }, []error{ErrServerUnverified, scram.ErrMalformed}},
		"reordered attributes": {func(r *rogue) {
			r.first = func(s string) string { return s[strings.Index(s, ",")+1:] + "," + s[:strings.Index(s, ",")] }
		}, []error{ErrServerUnverified, scram.ErrMalformed}},
		"mandatory extension": {func(r *rogue) { r.first = func(s string) string { return "m=x," + s } }, []error{ErrServerUnverified, scram.ErrMalformed}},

		"signature wrong": {func(r *rogue) {
			r.final = func(s string) string { return s[:4] + map[bool]string{true: "A", false: "B"}[s[4] == 'B'] + s[5:] }
		}, []error{ErrServerUnverified}},
		"signature short":      {func(r *rogue) { r.final = func(s string) string { return s[:len(s)-4] } }, []error{ErrServerUnverified}},
		"signature long":       {func(r *rogue) { r.final = func(s string) string { return strings.TrimSuffix(s, "=") + "A" } }, []error{ErrServerUnverified}},
		"signature empty":      {func(r *rogue) { r.final = func(string) string { return "v=" } }, []error{ErrServerUnverified}},
		"signature missing":    {func(r *rogue) { r.final = func(string) string { return "" } }, []error{ErrServerUnverified}},
		"e=":                   {func(r *rogue) { r.final = func(string) string { return "e=invalid-proof" } }, []error{ErrServerUnverified, scram.ErrServerError}},
		"e= unknown":           {func(r *rogue) { r.final = func(string) string { return "e=whatever" } }, []error{ErrServerUnverified, scram.ErrServerError}},
		"e= then v=":           {func(r *rogue) { r.final = func(s string) string { return "e=no-resources," + s } }, []error{ErrServerUnverified}},
		"235 without v=":       {func(r *rogue) { r.proof = lines() }, []error{ErrServerUnverified}},
		"235 with v= in it":    {func(r *rogue) { r.proof = func(s string) []string { return []string{"235 " + b64(s)} } }, []error{ErrServerUnverified}},
		"235 to the AUTH":      {func(r *rogue) { r.challenge = lines("235 welcome") }, []error{ErrServerUnverified}},
		"235 as the greeting":  {func(r *rogue) { r.greeting = "235 welcome" }, []error{ErrServerUnverified}},
		"535 to the proof":     {func(r *rogue) { r.proof = lines("535 login-failed no") }, []error{ErrLoginFailed}},
		"535 for the seat":     {func(r *rogue) { r.seat = []string{"535 login-failed no"} }, []error{ErrLoginFailed}},
		"504":                  {func(r *rogue) { r.challenge = lines("504 mechanism not offered") }, []error{ErrBindingUnavailable}},
		"501":                  {func(r *rogue) { r.challenge = lines("501 base64 no") }, []error{ErrLoginFailed}},
		"454":                  {func(r *rogue) { r.challenge = lines("454 later please") }, []error{ErrLoginFailed}},
		"250 to the AUTH":      {func(r *rogue) { r.challenge = lines("250 fine") }, []error{ErrProtocol}},
		"250 for the seat":     {func(r *rogue) { r.seat = []string{"250 fine"} }, []error{ErrProtocol}},
		"251 for the seat":     {func(r *rogue) { r.seat = []string{"251 5", "hello"} }, []error{ErrProtocol}},
		"another challenge":    {func(r *rogue) { r.seat = []string{"334 ", "235 ok"} }, []error{ErrProtocol}},
		"greeting missing":     {func(r *rogue) { r.greeting = "334 " }, []error{ErrProtocol}},
		"greeting 421":         {func(r *rogue) { r.greeting = "421 shutdown bye" }, []error{}},
		"notice before proof":  {func(r *rogue) { r.proof = lines("120 position 1 holder bob") }, []error{ErrProtocol}},
		"notice at the start":  {func(r *rogue) { r.greeting = "150 hello\r\n220 ready" }, []error{ErrProtocol}},
		"challenge no base64":  {func(r *rogue) { r.challenge = lines("334 ??") }, []error{ErrProtocol}},
		"challenge with space": {func(r *rogue) { r.challenge = func(s string) []string { return []string{"334 " + b64(s) + " "} } }, []error{ErrProtocol}},
		"challenge of lines": {func(r *rogue) {
			r.challenge = func(s string) []string { return []string{"334-" + b64(s)[:8], "334 " + b64(s)[8:]} }
		}, []error{ErrProtocol}},
		"proof before client-final": {func(r *rogue) {
			r.challenge = func(s string) []string { return []string{"334 " + b64(s), "235 welcome"} }
		}, []error{ErrProtocol}},
		"greeting over the line": {func(r *rogue) { r.greeting = "220 " + long }, []error{ErrProtocol, protocol.ErrLineTooLong}},
		"endless greeting":       {func(r *rogue) { r.greeting = strings.TrimSuffix(strings.Repeat("220-x\r\n", 200_000), "\r\n") }, []error{ErrProtocol, protocol.ErrReply}},
		"control characters":     {func(r *rogue) { r.greeting = "220 \x1b[31m" }, []error{ErrProtocol, protocol.ErrSyntax}},
		"no reply at all":        {func(r *rogue) { r.greeting = "HTTP/1.1 400 Bad Request" }, []error{ErrProtocol, protocol.ErrReply}},
		"a bare LF":              {func(r *rogue) { r.greeting = "220 a\n220 b" }, []error{ErrProtocol, protocol.ErrSyntax}},
		"the seat over the line": {func(r *rogue) { r.seat = []string{"120 " + long} }, []error{ErrProtocol, protocol.ErrLineTooLong}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := honest()
			test.change(r)
			err := dialOnce(t, dialer(), serverTLS(), func(s *session) {
				r.login(s)
				if rest := s.atEnd(); rest != "" {
					t.Errorf("the client went on with %q", rest)
				}
			})
			if (err == nil) != (test.want == nil) {
				t.Fatal(err)
			}
			for _, want := range test.want {
				if !errors.Is(err, want) {
					t.Errorf("%v is not %v", err, want)
				}
			}
			var connect *ConnectError
			if errors.As(err, &connect) {
				t.Errorf("%v is a ConnectError", err)
			}
		})
	}
}

// Nothing is tried again in a weaker form, on this connection or another.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	for _, answer := range []string{"504 mechanism not offered", "535 login-failed no", "501 argument no"} {
		var connections, plain atomic.Int32
		addr := serve(t, serverTLS(), func(s *session) {
			connections.Add(1)
			if _, mechanism, _ := cut3(s.line()); mechanism != scram.SHA256Plus {
				plain.Add(1)
			}
			s.send("220 ready", answer)
			if rest := s.atEnd(); rest != "" {
				t.Errorf("after %q the client sent %q", answer, rest)
			}
		})
		if c, err := dialer().Dial(testContext(t), addr, alice); err == nil || connections.Load() != 1 || plain.Load() != 0 {
			t.Error(c, err, connections.Load(), plain.Load())
		}
	}
	d := dialer()
	d.ChannelBinding = BindingNone
	r := honest()
	r.challenge = func(string) []string { return []string{"504 mechanism not offered"} }
	err := dialOnce(t, d, serverTLS(), r.login)
	if !errors.Is(err, ErrLoginFailed) || errors.Is(err, ErrBindingUnavailable) || !isReply(err, 504, "mechanism") {
		t.Error(err)
	}
}

func TestRefusalsAreReplies(t *testing.T) {
	t.Parallel()
	for line, meaning := range map[string]error{
		"421 busy somebody is served": ErrBusy, "421 wait-timeout x": nil, "421 throttled x": nil,
		"421 evicted x": nil, "421 busybody x": nil, "535 login-failed x": ErrLoginFailed,
	} {
		for stage, change := range map[string]func(*rogue){
			"challenge": func(r *rogue) { r.challenge = func(string) []string { return []string{line} } },
			"proof":     func(r *rogue) { r.proof = func(string) []string { return []string{line} } },
			"seat":      func(r *rogue) { r.seat = []string{line} },
		} {
			r := honest()
			change(r)
			err := dialOnce(t, dialer(), serverTLS(), r.login)
			code, keyword, _ := cut3(line)
			var reply *protocol.ReplyError
			if !errors.As(err, &reply) || fmt.Sprint(int(reply.Code)) != code || string(reply.Keyword) != keyword {
				t.Errorf("%s, %s: %v", line, stage, err)
			}
			for _, sentinel := range []error{ErrBusy, ErrLoginFailed, ErrServerUnverified, ErrBindingUnavailable, ErrProtocol} {
				if errors.Is(err, sentinel) != (sentinel == meaning) {
					t.Errorf("%s, %s: %v", line, stage, err)
				}
			}
		}
	}
}

func TestHopelessCredentials(t *testing.T) {
	t.Parallel()
	addr := serve(t, serverTLS(), func(s *session) {
		if sent := s.atEnd(); sent != "" {
			t.Errorf("the client sent %q", sent)
		}
	})
	for _, credentials := range []Credentials{{}, {Username: "alice"}, {Username: "alice", Password: "a\x00secret"}} {
		c, err := dialer().Dial(testContext(t), addr, credentials)
		if !errors.Is(err, ErrLoginFailed) || !errors.Is(err, scram.ErrPrepare) || strings.Contains(err.Error(), "secret") {
			t.Error(c, err)
		}
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%T%v"} {
		fmt.Fprintf(&out, verb+" ", alice)
		fmt.Fprintf(&out, verb+" ", &alice)
		fmt.Fprintf(&out, verb+" ", struct{ C Credentials }{alice})
	}
	out.WriteString(alice.String())
	out.Write(must(json.Marshal(alice)))
	if s := out.String(); strings.Contains(s, "sesame") || strings.Contains(s, fmt.Sprintf("%x", "sesame")) || !strings.Contains(s, "alice") {
		t.Error(s)
	}
}
