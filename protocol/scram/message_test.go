package scram

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Battery 14, the examples of RFC 4013 §3 among them.
func TestPrepare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ in, want string }{
		{"I\u00adX", "IX"},
		{"user", "user"},
		{"USER", "USER"},
		{"\u00aa", "a"},
		{"\u2168", "IX"},
		{"a\u00a0b", "a b"},
		{" a ", " a "},
		{"~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}", "~!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}"},
		{"e\u0301", "\u00e9"},
		{"\u06271\u0628", "\u06271\u0628"},
		{"\u0627", "\u0627"},
		{"\U00010400", "\U00010400"},
	} {
		got, err := Prepare(c.in)
		if err != nil || got != c.want {
			t.Errorf("%q: %q, %v, want %q", c.in, got, err, c.want)
		}
		if again, err := Prepare(got); err != nil || again != got {
			t.Errorf("%q prepared again: %q, %v", got, again, err)
		}
	}
	for name, s := range map[string]string{
		"empty":                        "",
		"empty in the end":             "\u00ad\u200d",
		"control":                      "a\x07",
		"NUL":                          "a\x00b",
		"line end":                     "a\r\n",
		"DEL":                          "a\x7f",
		"C1":                           "a\u0085",
		"bidi, begins only":            "\u06271",
		"bidi, mixed":                  "\u0627a\u0628",
		"private use":                  "a\ue000",
		"non-character":                "a\ufdd0",
		"replacement character":        "a\ufffd",
		"change display":               "a\u200eb",
		"ideographic description":      "\u2ff0",
		"tag":                          "a\U000e0041",
		"invalid UTF-8":                "a\xff",
		"invalid UTF-8 alone":          "\xc3",
		"surrogate":                    "\xed\xa0\x80",
		"unassigned":                   "\u0221",
		"emoji":                        "\U0001f600",
		"unassigned, now normalized":   "\U0001f130", // today NFKC makes it A
		"unassigned among other words": "user\U0001f1e6",
	} {
		if got, err := Prepare(s); err != ErrPrepare || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// The shortcut for ASCII gives what SASLprep itself gives.
func TestPrepareASCII(t *testing.T) {
	t.Parallel()
	for r := range rune(128) {
		_, err := Prepare(string(r))
		if printable := ' ' <= r && r <= '~'; (err == nil) != printable {
			t.Errorf("%q: %v", r, err)
		}
		_, long := Prepare("\u00e9" + string(r)) // takes the long way
		if (err == nil) != (long == nil) {
			t.Errorf("%q: %v, behind a letter %v", r, err, long)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"QQ==": "A", "QUI=": "AB", "QUJD": "ABC", "+/+/": "\xfb\xff\xbf"} {
		if got := decode(in); string(got) != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	for _, in := range []string{
		"", "=", "==", "Q", "QQ", "QQ=", "QQ===", "QR==", "QUJ=", "QUJD=", "QQ==QQ==", "QQ==\n", "Q\r\nQ==", "\nQQ==",
		" QQ==", "QQ== ", "Q Q=", "-_-_", "QUJD\x00", "QQ=Q", "Q===",
	} {
		if got := decode(in); got != nil {
			t.Errorf("%q: %q", in, got)
		}
	}
}

func TestTLSExporter(t *testing.T) {
	t.Parallel()
	type call struct {
		Label   string
		Context []byte
		Length  int
	}
	var got call
	b, err := TLSExporter(func(label string, context []byte, length int) ([]byte, error) {
		got = call{label, context, length}
		return exporter.Data, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The context is of zero length, not absent.
	if diff := cmp.Diff(call{"EXPORTER-Channel-Binding", []byte{}, 32}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(exporter, b); diff != "" {
		t.Error(diff)
	}
	broken := errors.New("no exporter")
	b, err = TLSExporter(func(string, []byte, int) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) || b.usable() {
		t.Errorf("%v, %v", b, err)
	}
}

func TestTLSServerEndPoint(t *testing.T) {
	t.Parallel()
	raw := []byte("a certificate")
	s256, s384, s512 := sha256.Sum256(raw), sha512.Sum384(raw), sha512.Sum512(raw)
	want := map[x509.SignatureAlgorithm][]byte{
		x509.MD5WithRSA: s256[:], x509.SHA1WithRSA: s256[:], x509.DSAWithSHA1: s256[:], x509.ECDSAWithSHA1: s256[:],
		x509.SHA256WithRSA: s256[:], x509.DSAWithSHA256: s256[:], x509.ECDSAWithSHA256: s256[:], x509.SHA256WithRSAPSS: s256[:],
		x509.SHA384WithRSA: s384[:], x509.ECDSAWithSHA384: s384[:], x509.SHA384WithRSAPSS: s384[:],
		x509.SHA512WithRSA: s512[:], x509.ECDSAWithSHA512: s512[:], x509.SHA512WithRSAPSS: s512[:],
	}
	for algorithm := range x509.PureEd25519 + 2 {
		b, err := TLSServerEndPoint(&x509.Certificate{Raw: raw, SignatureAlgorithm: algorithm})
		if digest, ok := want[algorithm]; ok {
			if diff := cmp.Diff(ChannelBinding{TypeServerEndPoint, digest}, b); err != nil || diff != "" {
				t.Errorf("%v: %v %s", algorithm, err, diff)
			}
		} else if !errors.Is(err, ErrConfig) || b.usable() {
			t.Errorf("%v: %v, %v", algorithm, b, err)
		}
	}
}

// Battery 9: an Ed25519 certificate has no tls-server-end-point.
func TestEd25519(t *testing.T) {
	t.Parallel()
	certificate := func(key crypto.Signer) *x509.Certificate {
		raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	control := certificate(ec)
	b, err := TLSServerEndPoint(control)
	if digest := sha512.Sum384(control.Raw); err != nil || !slices.Equal(b.Data, digest[:]) {
		t.Errorf("control: %v, %v", b, err)
	}
	if _, err := TLSServerEndPoint(certificate(ed)); !errors.Is(err, ErrConfig) {
		t.Errorf("Ed25519: %v", err)
	}
}

// No error says anything of the secret that it is about.
func TestErrorsQuoteNoSecret(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	_, prepare := Prepare(secret + "\x07")
	_, parse := ParseVerifier(secret)
	_, made := NewVerifier(secret, []byte(secret), -1)
	_, client := NewClient(ClientConfig{Username: "user", Password: secret, Binding: ChannelBinding{Data: []byte(secret)}})
	_, server := NewServer(ServerConfig{}).First([]byte("n,,n=" + secret + ",r=x"))
	for _, err := range []error{prepare, parse, made, client, server} {
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%v", err)
		}
	}
}
