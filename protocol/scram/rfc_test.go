package scram

import (
	"context"
	"encoding/base64"
	"testing"
)

// The example of RFC 7677 §3.
const (
	rfcClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	rfcServerFirst = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
	rfcClientFinal = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
	rfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
)

// octets is a source of randomness that gives what it holds.
type octets struct{ left []byte }

func (o *octets) Read(p []byte) (int, error) {
	n := copy(p, o.left)
	o.left = o.left[n:]
	return n, nil
}

func TestRFC7677Client(t *testing.T) {
	t.Parallel()
	random, err := base64.StdEncoding.DecodeString("rOprNGfwEbeRWgbNEkqO")
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ClientConfig{Username: "user", Password: "pencil", Mechanism: SHA256, Rand: &octets{random}})
	if err != nil {
		t.Fatal(err)
	}
	first, err := c.First()
	if err != nil || string(first) != rfcClientFirst {
		t.Fatalf("First: %q, %v", first, err)
	}
	final, err := c.Final(context.Background(), []byte(rfcServerFirst))
	if err != nil || string(final) != rfcClientFinal {
		t.Fatalf("Final: %q, %v", final, err)
	}
	if c.Verified() {
		t.Error("verified before server-final")
	}
	if err := c.Verify([]byte(rfcServerFinal)); err != nil || !c.Verified() {
		t.Errorf("Verify: %v", err)
	}
}

func TestRFC7677Server(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := NewVerifier("pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := NewServer(ServerConfig{Mechanism: SHA256, Lookup: lookup("user", v)})
	if err := s.bind(s.parseFirst([]byte(rfcClientFirst))); err != nil {
		t.Fatal(err)
	}
	first, err := s.challenge(rfcServerNonce)
	if err != nil || string(first) != rfcServerFirst {
		t.Fatalf("server-first: %q, %v", first, err)
	}
	final, err := s.Final([]byte(rfcClientFinal))
	if err != nil || string(final) != rfcServerFinal {
		t.Fatalf("server-final: %q, %v", final, err)
	}
	if s.Username() != "user" || s.Binding() != "" {
		t.Errorf("username %q, binding %q", s.Username(), s.Binding())
	}
}

// The example of RFC 5802 §5 is for SHA-1: all of it parses but the proof, which has 20 octets.
func TestRFC5802Structure(t *testing.T) {
	t.Parallel()
	const nonce = "fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j"
	s := NewServer(ServerConfig{Mechanism: SHA256, Lookup: lookup("user", verifier(t, "pencil"))})
	if _, err := s.First([]byte("n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL")); err != nil {
		t.Error(err)
	}
	n, salt, i, ok := parseServerFirst([]byte("r=" + nonce + ",s=QSXCR+Q6sek8bf92,i=4096"))
	if !ok || n != nonce || len(salt) != 12 || i != "4096" {
		t.Errorf("server-first: %q, %x, %s, %t", n, salt, i, ok)
	}
	without, n, channel, proof, ok := parseClientFinal([]byte("c=biws,r=" + nonce + ",p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="))
	if ok || without != "c=biws,r="+nonce || n != nonce || string(channel) != "n,," || len(proof) != 20 {
		t.Errorf("client-final: %q, %q, %q, %x, %t", without, n, channel, proof, ok)
	}
	if _, _, _, _, ok = parseClientFinal([]byte("c=biws,r=" + nonce + ",p=" + encode(make([]byte, 32)))); !ok {
		t.Error("client-final with a proof of 32 octets does not parse")
	}
}
