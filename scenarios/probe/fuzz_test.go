package probe

import (
	"net"
	"strings"
	"testing"
	"time"
)

// feed returns a link on which a peer sends the input, and then ends the connection. The prober's output is discarded.
func feed(t *testing.T, input string) *Link {
	near, far := net.Pipe()
	t.Cleanup(func() { _ = near.Close() })
	go func() {
		_, _ = far.Write([]byte(input))
		_ = far.Close()
	}()
	l := newLink(near, nil, time.Second) // without a configuration TLS fails at once
	l.out = discard{}
	return l
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// FuzzCallers feeds a caller of each dialect arbitrary input from a server.
func FuzzCallers(f *testing.F) {
	for _, seed := range []string{
		"220 hi\r\n250-x\r\n250 AUTH SCRAM-SHA-256\r\n334 cj1h\r\n334 dj1h\r\n235 ok\r\n", "220 hi\r\n250 STARTTLS\r\n220 go\r\n",
		"* OK hi\r\n* CAPABILITY IMAP4rev1 AUTH=SCRAM-SHA-256 SASL-IR\r\na1 OK\r\n+ cj1h\r\n+ dj1h\r\na2 OK in\r\n", "* BYE\r\n",
		"<stream:stream xmlns:stream='s'><stream:features><mechanisms xmlns='" + nsSASL + "'><mechanism>X</mechanism></mechanisms></stream:features><challenge>cj1h</challenge><success>dj1h</success>",
		"<stream:stream xmlns:stream='s'><stream:features/><failure><not-authorized/><text>no</text></failure>",
		"NR\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00R\x00\x00\x00\x0b\x00\x00\x00\x0br=a", "NE\x00\x00\x00\x08Mno\x00\x00", "S",
		"+ cj1h\nok dj1h\n", "no words\n", "ok\n", "+ =\n+ ?\n",
	} {
		for i := range fuzzed {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, dialect int, input string) {
		if dialect < 0 || len(input) > 1<<16 {
			return
		}
		c := dialects[fuzzed[dialect%len(fuzzed)]].caller(Target{Host: "localhost"}, Account{"alice", "secret"})
		if _, err := c.Open(feed(t, input)); err != nil {
			return
		}
		a, err := c.Start("SCRAM-SHA-256", []byte("n,,n=alice,r=a"))
		for range 3 {
			if err != nil || a.Kind != Challenge {
				return
			}
			a, err = c.Next(a.Data)
		}
		c.Leave()
	})
}

var fuzzed = []string{"smtp", "sallyport", "imap", "xmpp", "postgres", "stdio"}

// FuzzHosts feeds a host of each dialect arbitrary input from a client.
func FuzzHosts(f *testing.F) {
	for _, seed := range []string{
		"EHLO x\r\nAUTH SCRAM-SHA-256 biws\r\nYz1iaXdz\r\n\r\nNOOP\r\nQUIT\r\n", "AUTH X\r\n*\r\n", "+ biws\n+ Yz1iaXdz\n",
		"\x00\x00\x00\x08\x04\xd2\x16\x2f", "\x00\x00\x00\x10\x00\x03\x00\x00user\x00u\x00\x00p\x00\x00\x00\x1bSCRAM-SHA-256\x00\x00\x00\x00\x05n,,r=p\x00\x00\x00\x08c=biX\x00\x00\x00\x04",
	} {
		for i := range 4 {
			f.Add(i, seed)
		}
	}
	f.Fuzz(func(t *testing.T, dialect int, input string) {
		if dialect < 0 || len(input) > 1<<16 {
			return
		}
		h := dialects[[]string{"smtp", "sallyport", "postgres", "stdio"}[dialect%4]].host()
		l := feed(t, input)
		l.serving = true
		if _, _, err := h.Open(l, []string{"SCRAM-SHA-256"}); err != nil {
			return
		}
		if _, err := h.Challenge([]byte("r=ab,s=QQ==,i=4096")); err != nil {
			return
		}
		_, _ = h.Succeed([]byte("v=QQ=="))
	})
}

// The size of a line without an end is bounded.
func TestLinkIsBounded(t *testing.T) {
	if _, err := feed(t, strings.Repeat("x", maxLine+2)+"\n").Line(); err != errFlood {
		t.Error(err)
	}
}
