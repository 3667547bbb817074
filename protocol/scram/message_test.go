package scram

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The examples of RFC 4013 §3, and some more. fixtures/scram/14-characters.txt has others.
func TestPrepare(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"I\u00adX": "IX", "user": "user", "USER": "USER", "\u00aa": "a", "\u2168": "IX", " a ": " a ",
		"": "", "\x07": "", "\u06271": "", "\u00ad\u200d": "", "a\xff": "", "\u0221": "",
	} {
		got, err := Prepare(in)
		if got != want || (err == ErrPrepare) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
}

// The shortcut for ASCII has the same results as SASLprep.
func TestPrepareASCII(t *testing.T) {
	t.Parallel()
	for r := range rune(128) {
		_, err := Prepare(string(r))
		if printable := ' ' <= r && r <= '~'; (err == nil) != printable {
			t.Errorf("%q: %v", r, err)
		}
		_, long := Prepare("\u00e9" + string(r)) // without the shortcut
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
	noError(t, err)
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

// No error quotes the secret that it is about.
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
