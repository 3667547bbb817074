package client

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
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

func TestCredentials(t *testing.T) {
	t.Parallel()
	addr := serve(t, serverTLS(), honest().login)
	d := dialer()
	d.Keys = new(scram.KeyCache)
	for range 2 { // the second with the cached keys
		c, err := d.Dial(testContext(t), addr, alice)
		check(t, err)
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

// fixtures/scram and fixtures/rogue-server have more faults of servers.
func TestRogueServers(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", protocol.MaxLine)
	lines := func(lines ...string) func(string) []string { return func(string) []string { return lines } }
	notices := append(strings.Split(strings.Repeat("120 position 1 holder bob\n", 5000), "\n")[:5000], "235 ok")
	for name, test := range map[string]struct {
		change func(*rogue)
		want   []error // nil for a login that succeeds
	}{
		"nothing wrong":       {func(*rogue) {}, nil},
		"multi-line greeting": {func(r *rogue) { r.greeting = "220-a\r\n220 b" }, nil},
		"notices":             {func(r *rogue) { r.seat = []string{"120 position 1 holder bob", "121 waiting 3", "150 x", "235 ok"} }, nil},
		"a flood of notices":  {func(r *rogue) { r.seat = notices }, nil},

		"235 with v= in it":    {func(r *rogue) { r.proof = func(s string) []string { return []string{"235 " + b64(s)} } }, []error{ErrServerUnverified}},
		"454":                  {func(r *rogue) { r.challenge = lines("454 later please") }, []error{}},
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
			if connect := (*ConnectError)(nil); errors.As(err, &connect) {
				t.Errorf("%v is a ConnectError", err)
			}
		})
	}
}

// Only a client that wanted a binding can report that the server has none. An unknown mode wants one.
func TestRefusedBinding(t *testing.T) {
	t.Parallel()
	for mode, want := range map[BindingMode]error{BindingNone: ErrLoginFailed, BindingRequired: ErrBindingUnavailable, 7: ErrBindingUnavailable} {
		d, r := dialer(), honest()
		d.ChannelBinding = mode
		r.challenge = func(string) []string { return []string{"504 mechanism not offered"} }
		err := dialOnce(t, d, serverTLS(), r.login)
		if !errors.Is(err, want) || want == ErrLoginFailed && errors.Is(err, ErrBindingUnavailable) || !isReply(err, 504, "mechanism") {
			t.Error(mode, err)
		}
	}
}

func TestRefusalsAreReplies(t *testing.T) {
	t.Parallel()
	for line, meaning := range map[string]error{
		"421 busy somebody is served": ErrBusy, "421 wait-timeout x": nil, "421 throttled x": nil,
		"421 evicted x": nil, "421 busybody x": nil, "535 login-failed x": ErrLoginFailed,
		"454 temporary x": nil, "450 temporary x": ErrLoginFailed,
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
	out.Write(must(json.Marshal(alice)))
	if s := out.String(); strings.Contains(s, "sesame") || strings.Contains(s, fmt.Sprintf("%x", "sesame")) || !strings.Contains(s, "alice") {
		t.Error(s)
	}
}
