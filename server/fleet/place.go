package fleet

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/server/certs"
)

// defaultPrefix is the prefix of all keys if the address has none.
const defaultPrefix = "sallyport"

// maxEndpoints bounds the endpoints of an address. etcd clusters have three to seven members.
const maxEndpoints = 16

// prefixes are the prefixes that need no escape in a key.
var prefixes = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}(/[A-Za-z0-9._-]{1,64}){0,7}$`)

// place is a parsed address of etcd.
type place struct {
	hosts  []string // HOST:PORT
	prefix string
}

// parse reads etcd://HOST:PORT[,HOST:PORT...][/PREFIX].
func parse(address string) (place, error) {
	rest, ok := strings.CutPrefix(address, "etcd://")
	if !ok {
		return place{}, fmt.Errorf("%w: %q is not etcd://HOST:PORT[,HOST:PORT...][/PREFIX]", ErrConfig, address)
	}
	hosts, prefix, _ := strings.Cut(rest, "/")
	p := place{hosts: strings.Split(hosts, ","), prefix: strings.TrimSuffix(prefix, "/")}
	if p.prefix == "" {
		p.prefix = defaultPrefix
	}
	if !prefixes.MatchString(p.prefix) {
		return place{}, fmt.Errorf("%w: the prefix %q has other characters than letters, digits, '.', '_', '-' and '/'", ErrConfig, p.prefix)
	}
	if len(p.hosts) > maxEndpoints {
		return place{}, fmt.Errorf("%w: it names %d endpoints, at most %d are used", ErrConfig, len(p.hosts), maxEndpoints)
	}
	for _, host := range p.hosts {
		if err := checkEndpoint(host); err != nil {
			return place{}, err
		}
	}
	return p, nil
}

// checkEndpoint returns an error if endpoint is not HOST:PORT.
func checkEndpoint(endpoint string) error {
	host, port, err := net.SplitHostPort(endpoint)
	if err != nil || certs.CheckHost(host) != nil {
		return fmt.Errorf("%w: %q is not HOST:PORT", ErrConfig, endpoint)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%w: %q is no port (etcd listens on 2379)", ErrConfig, port)
	}
	return nil
}

// endpoints returns the endpoints as URLs, which the etcd client takes.
func (p place) endpoints(config *tls.Config) (urls []string) {
	scheme := "http://"
	if config != nil {
		scheme = "https://"
	}
	for _, host := range p.hosts {
		urls = append(urls, scheme+host)
	}
	return urls
}

// remote returns the first endpoint that is not on this machine, or "".
func (p place) remote() string {
	for _, endpoint := range p.hosts {
		host, _, _ := net.SplitHostPort(endpoint)
		ip, err := netip.ParseAddr(host)
		if host != "localhost" && (err != nil || !ip.Unmap().IsLoopback()) {
			return endpoint
		}
	}
	return ""
}

// tls returns the TLS configuration. Without a CA it returns nil, which is allowed on this machine only.
func (c Config) tls(p place) (*tls.Config, error) {
	if (c.Cert == "") != (c.Key == "") {
		return nil, fmt.Errorf("%w: --fleet-cert and --fleet-key go together", ErrConfig)
	}
	if c.CA == "" {
		switch remote := p.remote(); {
		case remote != "":
			return nil, fmt.Errorf("%w: %s is not on this machine, and without --fleet-ca nothing protects the connection: give --fleet-ca, --fleet-cert and --fleet-key", ErrConfig, remote)
		case c.Cert != "":
			return nil, fmt.Errorf("%w: --fleet-cert needs --fleet-ca", ErrConfig)
		}
		return nil, nil
	}
	pool, err := certs.Pool(c.CA)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if c.Cert == "" {
		return config, nil
	}
	if _, err := certs.ReadPair(c.Cert, c.Key); err != nil {
		return nil, err
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := certs.ReadPair(c.Cert, c.Key) // again, because it is renewed
		return &pair, err
	}
	return config, nil
}
