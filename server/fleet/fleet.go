// Package fleet keeps the common data of a lab's gates in etcd: the directory of rigs, their seats, the users, and the
// heads of the logs.
//
// Start with [Open]. It takes the address of etcd, and does not connect. Each call has a deadline of its own, and a
// gate without a shared seat serves on while etcd is away.
//
// Under the prefix of the address, the keys are:
//
//	rigs/NAME/GATE     a gate that guards the rig NAME, as long as the gate lives
//	seats/NAME/…       the seat that the gates of a rig share
//	users/NAME         a verifier
//	secret             the key of mock challenges
//	heads/NAME/GATE/N  a head of a gate's log
//
// Names in keys are escaped like a segment of a path (RFC 3986 §3.3). Everything that etcd returns is bounded and
// checked: a writer in etcd must not fill a gate's memory.
package fleet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	"github.com/sallyport/sallyport/server/errorlog"
)

var (
	// ErrConfig means that a Config can't be used. The operator must change it.
	ErrConfig = errors.New("fleet: can't use the address of etcd")
	// ErrForeign means that a value in etcd does not have the form that this package writes.
	ErrForeign = errors.New("fleet: not a value of Sallyport's")
	// ErrNoLease means that no gate wrote a key in etcd, although the form of its value may be right.
	ErrNoLease = errors.New("fleet: it has no lease, so it stays until somebody deletes it")
)

const (
	// maxValue is the size of the largest value that is read, in bytes.
	maxValue = 4 << 10
	// maxKey is the maximum size of a key of the queue, in bytes. Longer keys are shortened in messages. A gate's keys
	// are smaller.
	maxKey = 1 << 10
	// callTimeout bounds one call to etcd.
	callTimeout = 3 * time.Second
	// maxReply bounds a reply of etcd, in bytes. Ranges are read in pages.
	maxReply = 8 << 20
	// keepAlive is the silence after which the client asks etcd for a sign of life, and the maximum wait for it.
	keepAlive = 5 * time.Second
)

// reconnect has the pauses before a lost connection is tried again. By default gRPC waits up to two minutes, even if
// etcd is back.
var reconnect = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: time.Second / 8, Multiplier: 2, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: callTimeout,
}

// Config has the address of etcd and the certificates. URL is required.
type Config struct {
	// URL is etcd://HOST:PORT[,HOST:PORT...][/PREFIX]. An empty prefix means sallyport.
	URL string
	// CA is the file with the CA of etcd's certificate. Cert and Key are the files of the client certificate.
	// Without CA only endpoints on this machine are accepted, and the connection is not encrypted.
	CA, Cert, Key string
	// Log gets messages about etcd. Nil discards them.
	Log *slog.Logger
}

// Fleet is a connection to etcd. Make one with [Open]. It is safe for concurrent use.
type Fleet struct {
	remote bool
	etcd   *clientv3.Client
	tls    *tls.Config // nil without a CA
	prefix string
	log    *slog.Logger

	mu       sync.Mutex
	reported map[string]int64 // revisions of the logged keys
}

// Open returns a Fleet. It does not connect: the first call does. The end of ctx ends all calls. The error wraps
// [ErrConfig].
func Open(ctx context.Context, c Config) (*Fleet, error) {
	p, err := parse(c.URL)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := c.tls(p)
	if err != nil {
		return nil, err
	}
	etcd, err := clientv3.New(clientv3.Config{
		Endpoints: p.endpoints(tlsConfig), TLS: tlsConfig, Context: ctx, Logger: zap.NewNop(),
		DialTimeout: callTimeout, DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAlive,
		MaxCallRecvMsgSize: maxReply, DialOptions: []grpc.DialOption{grpc.WithConnectParams(reconnect)},
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Fleet{etcd: etcd, tls: tlsConfig, prefix: p.prefix, remote: p.remote() != "", log: errorlog.New(c.Log), reported: map[string]int64{}}, nil
}

// Close ends all calls and the connection. A [Registration] that is not closed stays in etcd until its lease ends, at
// most 15 s.
func (f *Fleet) Close() error {
	if err := f.etcd.Close(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Remote reports whether an endpoint of etcd is not on this machine.
func (f *Fleet) Remote() bool { return f.remote }

// Prefix returns the prefix of all keys.
func (f *Fleet) Prefix() string { return f.prefix }

// call returns the context of one call to etcd.
func (f *Fleet) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, callTimeout)
}

// key returns a key under the prefix. The parts are escaped.
func (f *Fleet) key(parts ...string) string {
	var b strings.Builder
	b.WriteString(f.prefix)
	for _, part := range parts {
		b.WriteString("/" + url.PathEscape(part))
	}
	return b.String()
}

// parts returns the parts of a key, without the prefix. ok is false if f.key does not make such a key.
func (f *Fleet) parts(key string) (parts []string, ok bool) {
	rest, ok := strings.CutPrefix(key, f.prefix+"/")
	if !ok {
		return nil, false
	}
	for part := range strings.SplitSeq(rest, "/") {
		plain, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts = append(parts, plain)
	}
	return parts, f.key(parts...) == key
}

// decode reads a JSON value that this package wrote under the name of a schema. Its errors wrap ErrForeign.
func decode(value []byte, schema string, into any) error {
	var head struct {
		Schema string `json:"schema"`
	}
	switch {
	case len(value) > maxValue:
		return fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrForeign, len(value), maxValue)
	case json.Unmarshal(value, &head) != nil:
		return fmt.Errorf("%w: it is no JSON object", ErrForeign)
	case head.Schema != schema:
		return fmt.Errorf("%w: its schema is %.40q, not %s", ErrForeign, head.Schema, schema)
	}
	if err := json.Unmarshal(value, into); err != nil {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return nil
}

// maxReported bounds the number of keys in reported.
const maxReported = 1024

// noLease returns the error of a key without a lease.
func noLease(kv *mvccpb.KeyValue) error {
	return fmt.Errorf("%w: etcdctl del %s", ErrNoLease, word(shorten(kv.Key)))
}

var words = regexp.MustCompile(`^[A-Za-z0-9_./:@%+=,-]+$`)

// word quotes a key for a POSIX shell if it needs that: an attacker may have written a key with a command in it.
func word(key string) string {
	if words.MatchString(key) {
		return key
	}
	return "'" + strings.ReplaceAll(key, "'", `'\''`) + "'"
}

// shorten returns the beginning of a key that is longer than maxKey.
func shorten(key []byte) string { return string(key[:min(len(key), maxKey)]) }

// report logs an ignored value, or a key without a lease, once for each change of the key.
func (f *Fleet) report(kv *mvccpb.KeyValue, err error) {
	key, revision := shorten(kv.Key), kv.ModRevision
	f.mu.Lock()
	was, known := f.reported[key]
	isNew := (!known || was != revision) && (known || len(f.reported) < maxReported)
	if isNew {
		f.reported[key] = revision
	}
	f.mu.Unlock()
	text := "a value in etcd is ignored"
	if errors.Is(err, ErrNoLease) {
		text = "a key in etcd is not a server's"
	}
	if isNew {
		f.log.Warn(text, "key", key, "error", err)
	}
}
