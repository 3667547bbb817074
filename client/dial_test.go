package client

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestCertificates(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		certificate tls.Certificate
		change      func(*Dialer)
		good        bool
	}{
		"good":             {certificate: trusted().issue(nil), good: true},
		"expired":          {certificate: trusted().issue(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })},
		"not yet valid":    {certificate: trusted().issue(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })},
		"wrong address":    {certificate: trusted().issue(func(c *x509.Certificate) { c.IPAddresses = []net.IP{{127, 0, 0, 2}} })},
		"no name":          {certificate: trusted().issue(func(c *x509.Certificate) { c.IPAddresses = nil })},
		"wrong usage":      {certificate: trusted().issue(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })},
		"unknown CA":       {certificate: foreign().issue(nil)},
		"the system's CAs": {certificate: trusted().issue(nil), change: func(d *Dialer) { d.TLSConfig = nil }},
		"another ServerName": {
			certificate: trusted().issue(nil), change: func(d *Dialer) { d.TLSConfig.ServerName = "rig.example" },
		},
		"that ServerName": {
			certificate: trusted().issue(func(c *x509.Certificate) { c.DNSNames = []string{"rig.example"} }),
			change:      func(d *Dialer) { d.TLSConfig.ServerName = "rig.example" }, good: true,
		},
		"the caller's hook": {certificate: trusted().issue(nil), change: func(d *Dialer) {
			d.TLSConfig.VerifyConnection = func(tls.ConnectionState) error { return errors.New("not this one") }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := dialer(), serverTLS()
			config.Certificates = []tls.Certificate{test.certificate}
			if test.change != nil {
				test.change(d)
			}
			err := dialOnce(t, d, config, func(s *session) {
				if !test.good {
					if sent := s.atEnd(); sent != "" {
						t.Errorf("the client sent %q", sent)
					}
					return
				}
				honest().login(s)
			})
			var refused *ConnectError
			if (err == nil) != test.good || errors.As(err, &refused) == test.good {
				t.Error(err)
			}
		})
	}
}

func TestTLSMustBe(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		server func(*tls.Config)
		client func(*tls.Config)
		good   bool
	}{
		"good":                 {func(*tls.Config) {}, func(*tls.Config) {}, true},
		"TLS 1.2":              {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(*tls.Config) {}, false},
		"TLS 1.2, minimum 1.1": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS11 }, false},
		"TLS 1.2, allowed":     {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, true},
		"TLS 1.1": {
			func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
			func(c *tls.Config) { c.MinVersion = tls.VersionTLS12 }, false,
		},
		"no ALPN":           {func(c *tls.Config) { c.NextProtos = nil }, func(*tls.Config) {}, false},
		"another ALPN":      {func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }, func(*tls.Config) {}, false},
		"the caller's ALPN": {func(c *tls.Config) { c.NextProtos = []string{"h2"} }, func(c *tls.Config) { c.NextProtos = []string{"h2"} }, false},
		"renegotiation": {func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, func(c *tls.Config) {
			c.MinVersion, c.Renegotiation = tls.VersionTLS12, tls.RenegotiateFreelyAsClient
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, config := dialer(), serverTLS()
			test.server(config)
			test.client(d.TLSConfig)
			before := d.TLSConfig.Clone()
			err := dialOnce(t, d, config, func(s *session) {
				if test.good {
					honest().login(s)
				} else if sent := s.atEnd(); sent != "" {
					t.Errorf("the client sent %q", sent)
				}
			})
			var refused *ConnectError
			if (err == nil) != test.good || errors.As(err, &refused) == test.good {
				t.Error(err)
			}
			if d.TLSConfig.MinVersion != before.MinVersion || !cmp.Equal(d.TLSConfig.NextProtos, before.NextProtos) || d.TLSConfig.ServerName != "" {
				t.Error("the caller's configuration was changed")
			}
		})
	}
}

// crypto/tls gives no exporter without extended master secret, and none with
// renegotiation, which stands for it here because its server can't do without.
func TestNoExporter(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	config.MaxVersion = tls.VersionTLS12
	addr := serve(t, config, func(s *session) { s.atEnd() })
	for mode, good := range map[tls.RenegotiationSupport]bool{tls.RenegotiateNever: true, tls.RenegotiateOnceAsClient: false} {
		conn, err := tls.Dial("tcp", addr, &tls.Config{
			RootCAs: trusted().pool(), MinVersion: tls.VersionTLS12, NextProtos: []string{protocol.ALPN}, Renegotiation: mode,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := acceptable(conn.ConnectionState()); (err == nil) != good {
			t.Error(mode, err)
		}
		conn.Close()
	}
}

func TestEd25519HasNoEndPoint(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	cert := template("self-signed")
	cert.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	cert.IsCA, cert.BasicConstraintsValid = true, true
	cert.KeyUsage |= x509.KeyUsageCertSign
	der := must(x509.CreateCertificate(rand.Reader, cert, cert, public, private))
	roots := x509.NewCertPool()
	roots.AddCert(must(x509.ParseCertificate(der)))
	for _, test := range []struct {
		version uint16
		mode    BindingMode
		want    error
	}{
		{tls.VersionTLS12, BindingRequired, ErrBindingUnavailable},
		{tls.VersionTLS12, BindingNone, nil},
		{tls.VersionTLS13, BindingRequired, nil},
	} {
		config := serverTLS()
		config.Certificates, config.MaxVersion = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}, test.version
		d := &Dialer{TLSConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, ChannelBinding: test.mode}
		err := dialOnce(t, d, config, func(s *session) {
			if test.want == nil {
				honest().login(s)
			} else if sent := s.atEnd(); sent != "" {
				t.Errorf("the client sent %q", sent)
			}
		})
		if !errors.Is(err, test.want) {
			t.Error(test, err)
		}
	}
}

func TestInsecureIsRefused(t *testing.T) {
	t.Parallel()
	d := dialer()
	d.TLSConfig.InsecureSkipVerify = true
	d.DialContext = func(context.Context, string, string) (net.Conn, error) {
		t.Error("a connection was made")
		return nil, io.EOF
	}
	var refused *ConnectError
	if c, err := d.Dial(testContext(t), "127.0.0.1:1", alice); !errors.As(err, &refused) {
		t.Error(c, err)
	}
}

// What comes in the clear is shown to nobody.
func TestPlaintextServers(t *testing.T) {
	t.Parallel()
	for _, banner := range []string{
		"SSH-2.0-sesame\r\n", "220 sesame ready\r\n", "HTTP/1.1 400 sesame\r\n\r\n", "235 sesame\r\n", "s", "", "\x00\x00\x00\x00\x00\x00sesame",
		"\x15\x03\x03\x00\x02\x02\x28", "\x16\x03\x03\x00\x06sesame",
	} {
		addr := listen(t, func(raw net.Conn) {
			defer raw.Close()
			hello := make([]byte, 5)
			io.ReadFull(raw, hello)
			io.WriteString(raw, banner)
			raw.(*net.TCPConn).CloseWrite()
			if rest, _ := io.ReadAll(raw); bytes.Contains(rest, []byte("AUTH")) {
				t.Errorf("AUTH in the clear: %q", rest)
			}
		})
		c, err := dialer().Dial(testContext(t), addr, alice)
		var refused *ConnectError
		if !errors.As(err, &refused) || refused.Addr != addr {
			t.Fatal(c, err)
		}
		if text := fmt.Sprintf("%v %+v %#v", err, err, refused.Err); strings.Contains(text, "sesame") || strings.Contains(text, "SSH") {
			t.Errorf("the server's octets are shown: %s", text)
		}
	}
}

func TestConnectErrorIsPrintable(t *testing.T) {
	t.Parallel()
	config := serverTLS()
	config.Certificates = []tls.Certificate{trusted().issue(func(c *x509.Certificate) {
		c.IPAddresses, c.DNSNames = nil, []string{"\x1b]0;title\x07"}
	})}
	d := dialer()
	d.TLSConfig.ServerName = "rig.example"
	err := dialOnce(t, d, config, func(s *session) { s.atEnd() })
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\x07") || !strings.Contains(err.Error(), "title") {
		t.Errorf("%q", err)
	}
}

func TestNoConnection(t *testing.T) {
	t.Parallel()
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	listener.Close()
	for _, addr := range []string{listener.Addr().String(), "127.0.0.1", "", "::::"} {
		c, err := dialer().Dial(testContext(t), addr, alice)
		var refused *ConnectError
		if !errors.As(err, &refused) {
			t.Error(addr, c, err)
		}
	}
	gone, cancel := context.WithCancel(testContext(t))
	cancel()
	if c, err := dialer().Dial(gone, listener.Addr().String(), alice); !errors.Is(err, context.Canceled) {
		t.Error(c, err)
	}
}

func TestWaitingForTheSeat(t *testing.T) {
	t.Parallel()
	script := func(s *session) {
		r := honest()
		r.seat = []string{"120 position 2 holder bob", "120 position 1 holder bob"}
		r.login(s)
		s.send("235 welcome", "121 waiting 1")
	}
	var heard []Notice
	d := dialer()
	d.OnNotice = func(n Notice) { heard = append(heard, n) }
	if err := dialOnce(t, d, serverTLS(), script); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Notice{{120, "position 2 holder bob"}, {120, "position 1 holder bob"}}, heard); diff != "" {
		t.Error(diff)
	}
}

func TestNoWait(t *testing.T) {
	t.Parallel()
	d := dialer()
	d.NoWait = true
	left := make(chan string, 1)
	err := dialOnce(t, d, serverTLS(), func(s *session) {
		r := honest()
		r.seat = []string{"120 position 1 holder bob"}
		r.login(s)
		left <- s.atEnd()
	})
	if !errors.Is(err, ErrBusy) || <-left != "QUIT\r\n" {
		t.Error(err)
	}
	if err := dialOnce(t, d, serverTLS(), honest().login); err != nil {
		t.Error(err) // the seat is free
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	d := dialer()
	d.OnNotice = func(Notice) { cancel() }
	closed := make(chan string, 1)
	addr := serve(t, serverTLS(), func(s *session) {
		r := honest()
		r.seat = []string{"120 position 1 holder bob"}
		r.login(s)
		closed <- s.atEnd()
	})
	c, err := d.Dial(ctx, addr, alice)
	if !errors.Is(err, context.Canceled) || <-closed != "" {
		t.Error(c, err)
	}
}

// A billion iterations are minutes of work.
func TestCancelStopsTheComputation(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(testContext(t))
	addr := serve(t, serverTLS(), func(s *session) {
		_, _, encoded := cut3(s.line())
		_, nonce, _ := strings.Cut(string(must(decode(encoded))), ",r=")
		s.send("220 ready", "334 "+b64("r="+nonce+"server,s="+b64("salt")+",i=1000000000"))
		cancel()
		if sent := s.atEnd(); sent != "" {
			t.Errorf("the client sent %q", sent)
		}
	})
	d := dialer()
	d.MaxIterations = 1 << 30
	if c, err := d.Dial(ctx, addr, alice); !errors.Is(err, context.Canceled) || errors.Is(err, ErrServerUnverified) {
		t.Error(c, err)
	}
}

// stalled dials, in a bubble, a server that runs the script, and returns after
// how long Dial has failed.
func stalled(t *testing.T, d *Dialer, script func(*session)) (after time.Duration, err error) {
	t.Helper()
	var all sync.WaitGroup
	d.DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		config := serverTLS()
		config.SessionTicketsDisabled = true // a pipe has no buffer to write them to
		all.Go(func() { run(t, theirs, config, script) })
		return ours, nil
	}
	start := time.Now()
	c, err := d.Dial(t.Context(), "127.0.0.1:7443", alice)
	after = time.Since(start)
	if err == nil {
		c.Close()
	}
	all.Wait()
	return after, err
}

func TestLoginTimeout(t *testing.T) {
	t.Parallel()
	for name, script := range map[string]func(*session){
		"no greeting":  func(s *session) { s.atEnd() },
		"no challenge": func(s *session) { s.line(); s.send("220 ready"); s.atEnd() },
		"drip": func(s *session) {
			s.line()
			for {
				time.Sleep(time.Second)
				if _, err := s.conn.Write([]byte("2")); err != nil {
					return
				}
			}
		},
		"no proof": func(s *session) {
			r := honest()
			r.proof, r.seat = func(string) []string { return []string{"334-"} }, nil
			r.login(s)
			s.atEnd()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if after, err := stalled(t, dialer(), script); !errors.Is(err, context.DeadlineExceeded) || after != 10*time.Second {
					t.Error(after, err)
				}
				d := dialer()
				d.LoginTimeout = time.Minute
				if after, err := stalled(t, d, script); !errors.Is(err, context.DeadlineExceeded) || after != time.Minute {
					t.Error(after, err)
				}
			})
		})
	}
}

func TestConnectTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := dialer()
		d.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go io.Copy(io.Discard, theirs)
			return ours, nil
		}
		start := time.Now()
		c, err := d.Dial(t.Context(), "127.0.0.1:7443", alice)
		var refused *ConnectError
		if !errors.As(err, &refused) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Error(c, err, time.Since(start))
		}
	})
}

// Only the context bounds the wait for the seat.
func TestTheWaitHasNoTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		after, err := stalled(t, dialer(), func(s *session) {
			r := honest()
			r.seat = []string{"120 position 1 holder bob"}
			r.login(s)
			time.Sleep(time.Hour)
			s.send("235 welcome")
		})
		if err != nil || after != time.Hour {
			t.Error(after, err)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "YQ==", "YR==", "YQ", "YWI=", "YW\nI=", "YWJj", "YW Jj", "-_--"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		message, err := decode(text)
		if err == nil && b64(string(message)) != text {
			t.Fatalf("%q is not canonical, and was taken for %q", text, message)
		}
	})
}
