package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

// trustFlags say which server is trusted, and which certificate it gets from the client.
type trustFlags struct {
	ca, pin, state, cert, key, serverName, tlsMin string

	localCA string // the file of the CA of a server on this machine, if it is trusted

	byDirectory bool // the pin of each server comes from there

	found *foundCAs
}

// foundCAs are the CAs of pins that have been found.
type foundCAs struct {
	mu  sync.Mutex
	all map[string]*x509.Certificate
}

// defineTrust adds the flags that say which CA is trusted.
func (f *trustFlags) defineTrust(flags *pflag.FlagSet) {
	f.found = &foundCAs{all: map[string]*x509.Certificate{}}
	flags.StringVar(&f.ca, "ca", "", "`file` with the CA to trust, and no other")
	flags.StringVar(&f.pin, "pin", "", "`SHA256:...` of the CA to trust, and no other; serve and cert show print it")
	flags.StringVar(&f.state, "state", "", "state `directory` of a server on this machine, whose CA is trusted (default $XDG_STATE_HOME/sallyport)")
}

// defineTLS adds the other flags of TLS.
func (f *trustFlags) defineTLS(flags *pflag.FlagSet) {
	flags.StringVar(&f.cert, "cert", "", "`file` with your client certificate, for a server with --client-ca")
	flags.StringVar(&f.key, "key", "", "`file` with the key of --cert")
	flags.StringVar(&f.serverName, "server-name", "", "`name` that the certificate must have (default: the host of --addr)")
	flags.StringVar(&f.tlsMin, "tls-min", "1.3", "lowest TLS version, 1.2 or 1.3")
}

// tlsConfig returns a configuration that trusts the CA of --ca. With --pin it trusts nothing, until pinned has
// found the CA. Without both it trusts the CAs of the system and the private CA of a server on this machine.
func (f *trustFlags) tlsConfig() (config *tls.Config, err error) {
	config = &tls.Config{ServerName: f.serverName}
	if config.MinVersion, err = tlsVersion(f.tlsMin); err != nil {
		return nil, err
	}
	if err := f.addCertificate(config); err != nil {
		return nil, err
	}
	switch {
	case f.byDirectory:
		return config, nil // the CAs of the system, where a server has no pin
	case f.ca != "" && f.pin != "":
		return nil, usagef("--ca and --pin exclude each other")
	case f.pin != "":
		if _, err := pin.Parse(f.pin); err != nil {
			return nil, usagef("--pin: %v: sallyport cert show prints it on the server", err)
		}
		config.RootCAs = x509.NewCertPool()
		return config, nil
	case f.ca != "":
		config.RootCAs, err = certs.Pool(fileName(f.ca))
		return config, err
	}
	return config, f.addLocalCA(config)
}

// addCertificate adds the certificate of --cert. crypto/tls would keep one back from a server that does not know
// its CA, and the server could not say what is wrong with it.
func (f *trustFlags) addCertificate(config *tls.Config) error {
	if (f.cert == "") != (f.key == "") {
		return usagef("--cert and --key go together")
	}
	if f.cert == "" {
		return nil
	}
	pair, err := certs.ReadPair(fileName(f.cert), fileName(f.key))
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
	return err
}

func (f *trustFlags) addLocalCA(config *tls.Config) error {
	dir, err := stateDir(f.state)
	if err != nil {
		return err
	}
	file := state.Paths{Dir: dir}.CA()
	pem, err := os.ReadFile(file)
	switch {
	case err == nil:
		if config.RootCAs, err = x509.SystemCertPool(); err != nil {
			config.RootCAs = x509.NewCertPool()
		}
		config.RootCAs.AppendCertsFromPEM(pem)
		f.localCA = file
	case f.state != "" || !errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no CA in the state directory: %w: name the CA with --pin or --ca, or the directory of a server on this machine with --state", err)
	}
	return nil
}

// pinned returns a dialer that trusts the CA of --pin alone, or the same dialer without --pin.
func (f *dialFlags) pinned(ctx context.Context, d *client.Dialer, addr string) (*client.Dialer, error) {
	if f.pin == "" {
		return d, nil
	}
	ca, err := f.findCA(ctx, d, addr)
	if err != nil {
		return nil, err
	}
	pinned := *d
	pinned.TLSConfig = d.TLSConfig.Clone()
	pinned.TLSConfig.RootCAs = x509.NewCertPool()
	pinned.TLSConfig.RootCAs.AddCert(ca)
	return &pinned, nil
}

// findCA returns the CA of --pin, which an earlier command may have kept. Otherwise the server sends it.
func (f *dialFlags) findCA(ctx context.Context, d *client.Dialer, addr string) (*x509.Certificate, error) {
	f.found.mu.Lock()
	defer f.found.mu.Unlock()
	if ca := f.found.all[f.pin]; ca != nil {
		return ca, nil
	}
	p, err := pin.Parse(f.pin)
	if err != nil { // of the directory: tlsConfig has checked that of --pin
		return nil, &client.ConnectError{Addr: addr, Err: err}
	}
	var cache pin.Cache
	dir, noDir := os.UserCacheDir()
	if noDir == nil {
		cache.Dir = filepath.Join(dir, "sallyport")
	}
	ca, err := cache.Load(p)
	if err != nil {
		if ca, err = p.Fetch(ctx, *d, addr); err != nil {
			return nil, err
		}
		if err := errors.Join(noDir, cache.Store(ca)); err != nil {
			fmt.Fprintln(f.notices, "warning: the CA of --pin can't be kept, so each command gets it from the server again:", message(err))
		}
	}
	f.found.all[f.pin] = ca
	return ca, nil
}

// tlsVersion reads --tls-min.
func tlsVersion(s string) (uint16, error) {
	switch s {
	case "1.3":
		return tls.VersionTLS13, nil
	case "1.2":
		return tls.VersionTLS12, nil
	}
	return 0, usagef("--tls-min is 1.2 or 1.3, not %q", s)
}
