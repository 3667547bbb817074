package main

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/server/certs"
)

// untrusted returns the error of a client that refuses a certificate of the server.
func untrusted(leaf *x509.Certificate, why error) error {
	return &client.ConnectError{Addr: "rig:7443", Err: &tls.CertificateVerificationError{
		UnverifiedCertificates: []*x509.Certificate{leaf}, Err: why,
	}}
}

func TestHintOfARefusedCertificate(t *testing.T) {
	t.Parallel()
	from := func(issuer string) *x509.Certificate {
		return &x509.Certificate{
			Issuer: pkix.Name{CommonName: issuer}, RawIssuer: []byte(issuer), DNSNames: []string{"rig.example"}, PublicKey: true,
			NotBefore: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC),
		}
	}
	own, corp, itself := from(certs.CAName), from("Corp CA"), from("")
	later := from(certs.CAName)
	later.NotBefore = time.Date(2200, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	unknown, ended := x509.UnknownAuthorityError{}, func(c *x509.Certificate) error {
		return x509.CertificateInvalidError{Cert: c, Reason: x509.Expired}
	}
	for name, test := range map[string]struct {
		flags *trustFlags
		leaf  *x509.Certificate
		why   error
		want  []string
		not   string
	}{
		"no CA given":           {&trustFlags{}, own, unknown, []string{"unknown authority: the certificate is not from a CA of this system; or another server answers there: give the server's ca.pem with --ca, or its pin with --pin; sallyport cert show"}, "is not the CA"},
		"another --ca":          {&trustFlags{ca: "x.pem"}, own, unknown, []string{"x.pem is not the CA of this server; or another server answers there: give the server's ca.pem"}, "serve --cert"},
		"another --pin":         {&trustFlags{pin: "SHA256:x"}, own, unknown, []string{"is not from the CA of --pin; or another server answers there: give the server's ca.pem"}, "is not the CA"},
		"--cert in use":         {&trustFlags{}, corp, unknown, []string{`the server runs with --cert, and its certificate is from "CN=Corp CA": give that CA with --ca`}, "cert show"},
		"--cert and --ca":       {&trustFlags{ca: "x.pem"}, corp, unknown, []string{"x.pem is not the CA", `from "CN=Corp CA": give that CA`}, "cert show"},
		"--cert signs itself":   {&trustFlags{}, itself, unknown, []string{"its certificate is from itself: give that CA with --ca"}, "cert show"},
		"a name":                {&trustFlags{}, own, x509.HostnameError{Certificate: own, Host: "rig"}, []string{"on the server: sallyport cert new --host rig, then SIGHUP"}, "--server-name"},
		"a name, --cert in use": {&trustFlags{}, corp, x509.HostnameError{Certificate: corp, Host: "rig"}, []string{"use a name of the certificate with --addr or --server-name, or get the server a certificate for rig"}, "cert new"},
		"ended":                 {&trustFlags{}, own, ended(own), []string{"it ended at 2021-01-01T00:00:00Z, and the clock of this machine says 2", "Z: if that is right, start the server again"}, "is it right?"},
		"ended, --cert in use":  {&trustFlags{}, corp, ended(corp), []string{"if that is right, the operator must renew it"}, "start the server"},
		"not begun":             {&trustFlags{}, later, ended(later), []string{"it begins at 2199-12-31T23:00:00Z, and the clock of this machine says 2", "Z: is it right?"}, "renew"},
		"for another use":       {&trustFlags{}, own, x509.CertificateInvalidError{Cert: own, Reason: x509.IncompatibleUsage}, []string{"incompatible key usage"}, "--"},
	} {
		err := untrusted(test.leaf, test.why)
		hint := (&dialFlags{trustFlags: trustFlags{ca: test.flags.ca, pin: test.flags.pin}, addr: "rig"}).hint(err)
		text := message(hint)
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%s: %s\nlacks %s", name, text, want)
			}
		}
		if strings.Contains(text, test.not) || exitCode(hint) != exitConnection {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// An address with a zone (RFC 4007 §11) is certified without it: cert new refuses a zone.
func TestHintOfAnAddressWithAZone(t *testing.T) {
	t.Parallel()
	leaf := &x509.Certificate{Issuer: pkix.Name{CommonName: certs.CAName}, IPAddresses: []net.IP{net.IPv6loopback}}
	err := untrusted(leaf, x509.HostnameError{Certificate: leaf, Host: "fe80::1"})
	if text := message((&dialFlags{addr: "[fe80::1%eth0]:7443"}).hint(err)); !strings.Contains(text, "cert new --host fe80::1, then") {
		t.Error(text)
	}
}

func TestHintOfAnAlert(t *testing.T) {
	t.Parallel()
	mine := trustFlags{cert: "me.pem", key: "me-key.pem"}
	for name, test := range map[string]struct {
		flags *trustFlags
		alert tls.AlertError
		want  string
	}{
		"none given":                 {&trustFlags{}, alertCertificateRequired, "no connection to rig:7443: the server demands a client certificate: give yours with --cert and --key, or ask the operator for one"},
		"none given, in TLS 1.2":     {&trustFlags{}, alertBadCertificate, "the server demands a client certificate"},
		"expired":                    {&mine, alertCertificateExpired, "the server refused the client certificate me.pem: by the server's clock it has expired"},
		"of another CA":              {&mine, alertUnknownCA, "me.pem: it is from a CA that the server does not know: ask the operator for another one"},
		"for another use":            {&mine, alertBadCertificate, "me.pem: bad certificate: ask the operator"},
		"another, without --cert":    {&trustFlags{}, 40, "handshake failure"},
		"one that Go does not know":  {&trustFlags{}, 200, "alert(200)"},
		"a certificate that is lost": {&mine, alertCertificateRequired, "demands a client certificate"},
	} {
		lost := &net.OpError{Op: "remote error", Err: test.alert}
		late := refusedLate(lost, "rig:7443")
		hint := (&dialFlags{trustFlags: trustFlags{cert: test.flags.cert, key: test.flags.key}, addr: "rig"}).hint(late)
		if text := message(hint); !strings.Contains(text, test.want) || exitCode(hint) != exitConnection {
			t.Errorf("%s: %s", name, text)
		}
	}
}
