package scram

import (
	"context"
	"crypto/pbkdf2"
	"crypto/sha256"
	"testing"
)

// The loop of our own against the standard library's: the same work, within a few per cent.
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

// One login on the server: both messages, for a known user.
func BenchmarkServer(b *testing.B) {
	v, mock := verifier(b, "pencil"), NewMock(make([]byte, 32), nil)
	cfg := ServerConfig{Mechanism: SHA256, Rand: zeros{}, Lookup: func(name string) (Verifier, bool) {
		mock.Verifier(name)
		return v, true
	}}
	p := newPair(b, ClientConfig{Mechanism: SHA256, Rand: zeros{}}, cfg)
	first, final := p.messages(b)
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

// What Lookup spends on a name that nobody has.
func BenchmarkMock(b *testing.B) {
	mock := NewMock(make([]byte, 32), nil)
	b.ReportAllocs()
	for b.Loop() {
		mock.Verifier("nobody")
	}
}
