package scram

import (
	"bytes"
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

func TestRFC7677Client(t *testing.T) {
	t.Parallel()
	random, err := base64.StdEncoding.DecodeString("rOprNGfwEbeRWgbNEkqO")
	noError(t, err)
	c, err := NewClient(ClientConfig{Username: "user", Password: "pencil", Mechanism: SHA256, Rand: bytes.NewReader(random)})
	noError(t, err)
	first, err := c.First()
	if err != nil || string(first) != rfcClientFirst {
		t.Fatalf("First: %q, %v", first, err)
	}
	final, err := c.Final(context.Background(), []byte(rfcServerFirst))
	if err != nil || string(final) != rfcClientFinal {
		t.Fatalf("Final: %q, %v", final, err)
	}
	if err := c.Verify([]byte(rfcServerFinal)); err != nil {
		t.Errorf("Verify: %v", err)
	}
}

func TestRFC7677Server(t *testing.T) {
	t.Parallel()
	salt, _ := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	v, err := NewVerifier("pencil", salt, 4096)
	noError(t, err)
	s := NewServer(ServerConfig{Mechanism: SHA256, Lookup: lookup("user", v)})
	noError(t, s.bind(s.parseFirst([]byte(rfcClientFirst))))
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

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
