package scram

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"testing"
)

// BenchmarkSaltedPassword compares our loop with the standard library's. They differ by a few per cent.
func BenchmarkSaltedPassword(b *testing.B) {
	salt := make([]byte, 16)
	b.Run("impl=ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := saltedPassword(context.Background(), "pencil", salt, DefaultIterations); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("impl=crypto", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := pbkdf2.Key(sha256.New, "pencil", salt, DefaultIterations, sha256.Size); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkServer measures both messages of a login on the server, for a known user.
func BenchmarkServer(b *testing.B) {
	v, mock := verifier(b, "pencil"), NewMock(make([]byte, 32), nil)
	cfg := ServerConfig{Mechanism: SHA256, Rand: zeros{}, Lookup: func(name string) (Verifier, bool) {
		mock.Verifier(name)
		return v, true
	}}
	p := newPair(b, ClientConfig{Mechanism: SHA256, Rand: zeros{}}, cfg)
	m := p.messages(b, 4)
	first, final := m[0], m[2]
	b.ReportAllocs()
	for b.Loop() {
		s := NewServer(cfg)
		if _, err := s.First(first); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Final(final); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClient measures all messages of a login on the client, with cached keys.
func BenchmarkClient(b *testing.B) {
	cfg := ClientConfig{Mechanism: SHA256Plus, Binding: exporter, Rand: zeros{}, Keys: new(KeyCache)}
	p := newPair(b, cfg, ServerConfig{
		Mechanism: SHA256Plus, Bindings: []ChannelBinding{exporter}, PlusOffered: true, Rand: zeros{},
	})
	cfg.Username, cfg.Password = "user", "pencil"
	serverFirst := p.messages(b, 2)[1]
	clientFinal, err := p.client.Final(context.Background(), serverFirst)
	noError(b, err)
	serverFinal, err := p.server.Final(clientFinal)
	noError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		c, err := NewClient(cfg)
		if err == nil {
			_, err = c.First()
		}
		if err == nil {
			_, err = c.Final(context.Background(), serverFirst)
		}
		if err == nil {
			err = c.Verify(serverFinal)
		}
		noError(b, err)
	}
}

// BenchmarkMock measures the verifier of an unknown user.
func BenchmarkMock(b *testing.B) {
	mock := NewMock(make([]byte, 32), nil)
	b.ReportAllocs()
	for b.Loop() {
		mock.Verifier("nobody")
	}
}
