package certs

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"sync"
	"time"
)

// soon is the time before the end of a certificate at which it is renewed, or the first warning is given.
const soon = 30 * day

// Expiry warns of a certificate that ends soon, or has ended.
type Expiry struct {
	// Days are the whole days that are left. They are negative after the end.
	Days int
	// End is when the certificate ends.
	End time.Time
	// Err is why the certificate could not be renewed. Nil means that the operator must renew it.
	Err error
}

// DaysLeft returns the whole days until end. After the end they are negative.
func DaysLeft(end, now time.Time) int {
	left := end.Sub(now)
	days := int(left / day)
	if left < 0 {
		days--
	}
	return days
}

// Keeper watches the certificate of a running server. Less than 30 days before its end it renews the
// certificate. If it can't, it warns once a day. Set the fields, then call Serving and Run.
type Keeper struct {
	// Dir is the state directory with the certificate, which Ensure renews. Empty means that the operator has
	// chosen another certificate.
	Dir string
	// Use gets a renewed certificate to serve from now on.
	Use func(tls.Certificate) error
	// Warn gets a warning, once a day.
	Warn func(Expiry)

	mu     sync.Mutex
	leaf   *x509.Certificate // the certificate that is served
	warned Expiry            // without its Err
}

// Serving sets the certificate that the server serves now.
func (k *Keeper) Serving(leaf *x509.Certificate) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.leaf = leaf
}

// Leaf returns the certificate that the server serves now.
func (k *Keeper) Leaf() *x509.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.leaf
}

// Run calls Check at once and then each hour, until ctx is done.
func (k *Keeper) Run(ctx context.Context) {
	hourly := time.NewTicker(time.Hour)
	defer hourly.Stop()
	for {
		k.Check(time.Now())
		select {
		case <-hourly.C:
		case <-ctx.Done():
			return
		}
	}
}

// Check renews the certificate or warns, if the certificate ends soon. It is safe for concurrent use.
func (k *Keeper) Check(now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.leaf.NotAfter.Sub(now) >= soon {
		return
	}
	err := k.renew(now)
	next := Expiry{Days: DaysLeft(k.leaf.NotAfter, now), End: k.leaf.NotAfter}
	if next == k.warned || k.leaf.NotAfter.Sub(now) >= soon {
		return
	}
	k.warned = next
	next.Err = err
	k.Warn(next)
}

// renew reads the certificate of the state directory, which Ensure may have renewed. It serves that
// certificate if it ends later than the present one.
func (k *Keeper) renew(now time.Time) error {
	if k.Dir == "" {
		return nil
	}
	warning, err := Ensure(k.Dir, nil, now)
	if err != nil {
		return err
	}
	pair, err := LoadOwn(k.Dir, now)
	if err != nil || !pair.Leaf.NotAfter.After(k.leaf.NotAfter) {
		return cmp.Or(warning, err)
	}
	if err = k.Use(pair); err == nil {
		k.leaf = pair.Leaf
	}
	return cmp.Or(err, warning)
}
