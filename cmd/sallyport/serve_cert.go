package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"time"

	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

// keepCertificate renews the certificate of a running server before it ends, or warns, until release.
func (f *serveFlags) keepCertificate(s *server.Server, paths state.Paths) (k *certs.Keeper, release func()) {
	k = &certs.Keeper{
		Use: func(pair tls.Certificate) error {
			s.ErrorLog.Info("renewed the certificate", "until", pair.Leaf.NotAfter)
			config, err := f.withCertificate(pair)
			if err == nil {
				err = s.SetTLSConfig(config)
			}
			return err
		},
		Warn: func(e certs.Expiry) { f.warnOfExpiry(s, e) },
	}
	if f.cert == "" {
		k.Dir = paths.Dir
	}
	k.Serving(s.TLSConfig.Certificates[0].Leaf)
	ctx, release := context.WithCancel(context.Background())
	go k.Run(ctx)
	return k, release
}

// warnOfExpiry tells the operator and the log that the certificate ends.
func (f *serveFlags) warnOfExpiry(s *server.Server, e certs.Expiry) {
	record, text := s.Audit.Warn, "the certificate ends soon"
	if e.Days < 0 {
		record, text = s.Audit.Error, "the certificate has expired"
	}
	why := "put a new one in its place and send SIGHUP"
	if e.Err != nil {
		why = message(e.Err)
	}
	s.ErrorLog.Warn(text, "days", e.Days, "end", e.End, "advice", why)
	record("cert.expiry", "").Int("days", e.Days).Send()
	if err := s.Audit.Flush(); err != nil {
		s.ErrorLog.Error("the interaction log can't be written", "error", message(err))
	}
}

// loadCertificate reads the certificate to serve.
func (f *serveFlags) loadCertificate(paths state.Paths) (*tls.Config, error) {
	var pair tls.Certificate
	var err error
	if f.cert == "" {
		pair, err = certs.LoadOwn(paths.Dir, time.Now())
	} else {
		pair, err = certs.Load(f.cert, f.key, time.Now())
	}
	if err != nil {
		return nil, err
	}
	return f.withCertificate(pair)
}

// checkTLS refuses client certificates with TLS 1.2, where they, and so the names of users, are not encrypted.
func (f *serveFlags) checkTLS() error {
	version, err := tlsVersion(f.tlsMin)
	if err == nil && f.clientCA != "" && version < tls.VersionTLS13 {
		return usagef("--client-ca goes with TLS 1.3: TLS 1.2 would send the certificate, with the user's name, in the clear; leave out --tls-min")
	}
	return err
}

// withCertificate returns a new configuration, with ticket keys of its own. So the tickets of the last one end, also
// those of clients whose CA is no longer in the file of --client-ca.
func (f *serveFlags) withCertificate(pair tls.Certificate) (*tls.Config, error) {
	f.fleet.serves(pair)
	version, err := tlsVersion(f.tlsMin)
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: version}
	if err != nil || f.clientCA == "" {
		return config, err
	}
	cas, err := certs.ClientCAs(fileName(f.clientCA))
	if err != nil {
		return nil, err
	}
	certs.DemandClient(config, cas)
	return config, nil
}

// checkClient compares a client's certificate with the user who logs in. The operator sees the error.
func checkClient(user string, state tls.ConnectionState) error {
	if err := certs.CheckClient(user, state); err != nil {
		return worded{err, message(err)}
	}
	return nil
}

// lifetime says how long a certificate lasts.
func lifetime(end, now time.Time) string {
	days := certs.DaysLeft(end, now)
	if days < 0 {
		return fmt.Sprintf("expired on %s", end.Format(time.DateOnly))
	}
	return fmt.Sprintf("until %s, %d days left", end.Format(time.DateOnly), days)
}
