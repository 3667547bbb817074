package fleet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

var (
	// ErrAway means that etcd does not answer. A later call may succeed.
	ErrAway = errors.New("fleet: etcd does not answer")
	// ErrRefused means that etcd answers, but denies the permission for a call.
	ErrRefused = errors.New("fleet: etcd refuses: permission denied")
)

// probeTime bounds the search for a reason.
const probeTime = time.Second

// refused adds the key to the error of a call that etcd denies.
func refused(key string, err error) error {
	if errors.Is(err, rpctypes.ErrPermissionDenied) || errors.Is(err, rpctypes.ErrUserEmpty) {
		return fmt.Errorf("%w on %s: the certificate needs a role with it", ErrRefused, key)
	}
	return err
}

// explain returns the reason why a call about a key failed. The error of etcd's client only says that a deadline has
// passed.
func (f *Fleet) explain(ctx context.Context, key string, err error) error {
	switch err = refused(key, err); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, ErrRefused):
		return err
	case errors.Is(err, context.DeadlineExceeded), strings.HasSuffix(err.Error(), context.DeadlineExceeded.Error()): // gRPC wraps it as text
		return fmt.Errorf("%w: %s", ErrAway, f.reason(ctx))
	}
	return fmt.Errorf("%w: %w", ErrAway, err)
}

// reason connects to each endpoint, and returns what is wrong with the first one that fails.
func (f *Fleet) reason(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	for _, endpoint := range f.etcd.Endpoints() {
		u, _ := url.Parse(endpoint)
		if err := f.probe(ctx, u.Host); err != nil {
			return u.Host + ": " + strings.Join(strings.FieldsFunc(err.Error(), unprintable), "?")
		}
	}
	if f.tls == nil {
		return "its members can be reached: have they a quorum, and do they want TLS (--fleet-ca)?"
	}
	return "its members can be reached: have they a quorum?"
}

// probe connects to an endpoint, and reads the first byte, which comes when the client certificate is accepted.
func (f *Fleet) probe(ctx context.Context, endpoint string) error {
	dial := (&net.Dialer{}).DialContext
	if f.tls != nil {
		config := f.tls.Clone()
		config.NextProtos = []string{"h2"}
		dial = (&tls.Dialer{Config: config}).DialContext
	}
	conn, err := dial(ctx, "tcp", endpoint)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return op.Err
	}
	if err != nil {
		return err
	}
	defer conn.Close()
	if f.tls == nil {
		return nil
	}
	_ = conn.SetDeadline(time.Now().Add(probeTime / 4))
	if _, err = conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
