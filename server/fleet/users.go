package fleet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/protocol/scram"
)

// ErrNoUsers means that the users in etcd were never read, and that there is no copy of them. A later Lookup may
// succeed.
var ErrNoUsers = errors.New("fleet: the users in etcd were never read")

const (
	// maxUsers bounds the number of users that are read.
	maxUsers = 100_000
	// secretSize is the size of the key of mock challenges, in bytes.
	secretSize = 32
	// startTime bounds the first reading.
	startTime = 5 * time.Second
	// readTime bounds each later reading.
	readTime = time.Minute
	// reportEvery is the time between two reports that no user can log in.
	reportEvery = time.Minute
)

// Users are the users in etcd. They follow the changes in etcd until Close. A copy in a file serves while etcd is away.
// Make them with [Fleet.OpenUsers]. Users are safe for concurrent use.
type Users struct {
	fleet  *Fleet
	path   string
	cancel context.CancelFunc
	ended  chan struct{} // closed when follow has ended
	copies *writer       // nil until the first reading
	empty  bool          // it was logged that there are no users

	mu       sync.Mutex
	verified map[string]scram.Verifier // only follow changes it
	secret   []byte                    // nil before the first reading
	mock     *scram.Mock
	failure  error     // why the last reading failed
	reported time.Time // when a Lookup last reported that it failed
}

// OpenUsers reads the users in etcd, or the copy at path if etcd does not answer within 5 s. If there is no copy
// either, each Lookup fails until etcd answers. The copy has mode 0600; keep it as secret as the verifiers in etcd.
func (f *Fleet) OpenUsers(path string) *Users {
	ctx, cancel := context.WithCancel(f.etcd.Ctx())
	u := &Users{fleet: f, path: path, cancel: cancel, ended: make(chan struct{})}
	u.readCopy()
	revision, _ := u.read(ctx, startTime)
	u.copies = f.startWriter(readEvery, copyRetry, u.writeCopy, func(err error) {
		if err != nil {
			f.log.Error("the copy of the users in etcd can't be written: it may have users who were removed", "copy", path, "error", err)
		}
	})
	go func() {
		defer close(u.ended)
		f.follow(ctx, mirror{
			prefix: f.key("users") + "/", beside: f.key("secret"), again: retry, apply: u.apply,
			read: func(ctx context.Context) (int64, error) { return u.read(ctx, readTime) },
		}, revision)
	}()
	return u
}

// Close stops following etcd. The users stay as they are.
func (u *Users) Close() {
	u.cancel()
	<-u.ended
	u.copies.stop()
	_ = u.writeCopy(context.Background()) // the last change
}

// Lookup returns the verifier of a user, like users.Store.Lookup. Its time depends neither on the name nor on the
// number of users. The error is [ErrNoUsers], which is logged once a minute.
func (u *Users) Lookup(preparedName string) (v scram.Verifier, known bool, err error) {
	u.mu.Lock()
	v, known = u.verified[preparedName]
	mock, why := u.mock, u.failure
	tell := mock == nil && time.Since(u.reported) >= reportEvery
	if tell {
		u.reported = time.Now()
	}
	u.mu.Unlock()
	if tell {
		u.fleet.log.Error("nobody can log in: the users in etcd were never read, and there is no copy of them", "error", why)
	}
	if mock == nil {
		return v, false, ErrNoUsers
	}
	madeUp := mock.Verifier(preparedName) // also for a known name, which must take as long
	if !known {
		v = madeUp
	}
	return v, known, nil
}

// First returns the name of the first user in alphabetical order, or "".
func (u *Users) First() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(u.verified)) {
		return name
	}
	return ""
}

// Reload does nothing: Users follow etcd by themselves.
func (*Users) Reload() error { return nil }

// Faults returns nil: values that are not Sallyport's are logged.
func (*Users) Faults() []error { return nil }

// apply applies changes of etcd.
func (u *Users) apply(_ int64, changes []*clientv3.Event) {
	u.mu.Lock()
	for _, change := range changes {
		u.fleet.takeUser(u.verified, change.Kv, change.Type == clientv3.EventTypeDelete)
	}
	u.mu.Unlock()
	u.remake(u.secret, u.verified)
}

// remake replaces the users and the mock challenges, and requests a new copy.
func (u *Users) remake(secret []byte, all map[string]scram.Verifier) {
	mock := scram.NewMock(secret, slices.Collect(maps.Values(all)))
	u.mu.Lock()
	u.verified, u.secret, u.mock = all, secret, mock
	u.mu.Unlock()
	if u.copies != nil {
		u.copies.Changed()
	}
}

// read reads all users and then the secret. It returns the revision of the users.
func (u *Users) read(ctx context.Context, within time.Duration) (revision int64, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, ErrAway)
	defer cancel()
	all, secret := map[string]scram.Verifier{}, []byte(nil)
	key := u.fleet.key("users") + "/"
	revision, err = u.fleet.scan(ctx, key, func(kv *mvccpb.KeyValue) { u.fleet.takeUser(all, kv, false) })
	if err = u.fleet.explain(ctx, key, err); err == nil {
		secret, err = u.fleet.secret(ctx, u.secret)
	}
	u.note(err)
	if err != nil {
		return 0, err
	}
	u.remake(secret, all)
	u.noteEmpty(len(all) == 0)
	return revision, nil
}

// note stores the result of a reading, and logs a change.
func (u *Users) note(err error) {
	u.mu.Lock()
	was, never := u.failure, u.mock == nil
	u.failure = err
	u.mu.Unlock()
	switch log := u.fleet.log; {
	case errors.Is(err, context.Canceled), (was == nil) == (err == nil):
	case err == nil:
		log.Info("the users in etcd are read")
	case never:
		log.Error("nobody can log in until the users in etcd can be read: there is no copy of them", "copy", u.path, "error", err)
	default:
		log.Warn("the users in etcd can't be read: those of the last reading count", "copy", u.path, "error", err)
	}
}

// noteEmpty warns once if there are no users, because the prefix may be wrong. It warns again after there were users.
func (u *Users) noteEmpty(empty bool) {
	if empty && !u.empty {
		u.fleet.log.Warn("there are no users in etcd: add one with user add --fleet, or check the address of --fleet", "prefix", u.fleet.prefix)
	}
	u.empty = empty
}

// takeUser puts the user of a key into all. If the key is removed or its value is not Sallyport's, takeUser removes the
// user.
func (f *Fleet) takeUser(all map[string]scram.Verifier, kv *mvccpb.KeyValue, removed bool) {
	name, v, err := f.decodeUser(kv, removed)
	_, known := all[name]
	switch {
	case err != nil || removed:
		delete(all, name)
	case known || len(all) < maxUsers:
		all[name] = v
	default:
		f.report(kv, fmt.Errorf("there are %d users, and no more are read", maxUsers))
	}
}

// decodeUser reads a key and its value; a removed key has no value. It logs its error. With an error name is the key's
// name, if it has one.
func (f *Fleet) decodeUser(kv *mvccpb.KeyValue, removed bool) (name string, v scram.Verifier, err error) {
	parts, ok := f.parts(string(kv.Key))
	if ok && len(parts) == 2 {
		name = parts[1]
	}
	switch {
	case !isPrepared(name):
		err = fmt.Errorf("%w: its key has no name that SASLprep has prepared", ErrForeign)
	case removed:
		return name, v, nil
	case len(kv.Value) > maxValue:
		err = fmt.Errorf("%w: it has %d bytes, at most %d are read", ErrForeign, len(kv.Value), maxValue)
	default:
		if v, err = scram.ParseVerifier(string(kv.Value)); err != nil {
			err = fmt.Errorf("%w: it is no SCRAM-SHA-256 verifier: set the user's password again", ErrForeign)
		}
	}
	if err != nil && !removed {
		f.report(kv, err)
	}
	return name, v, err
}

// isPrepared reports whether a name is as scram.Prepare returns it.
func isPrepared(name string) bool {
	if name == "" || len(name) > scram.MaxName {
		return false
	}
	prepared, err := scram.Prepare(name)
	return err == nil && prepared == name
}

// secret returns the key of mock challenges, which all gates share. If there is none in etcd, secret writes ours, or a
// new key if ours is nil. A foreign value is logged. It is an error only if ours is nil.
func (f *Fleet) secret(ctx context.Context, ours []byte) (secret []byte, err error) {
	key := f.key("secret")
	for {
		got, err := f.get(ctx, key)
		if err != nil {
			return nil, err
		}
		if len(got.Kvs) > 0 {
			kv := got.Kvs[0]
			secret, err = hex.DecodeString(string(kv.Value[:min(len(kv.Value), maxValue)]))
			if err == nil && len(secret) == secretSize {
				return secret, nil
			}
			err = fmt.Errorf("%w: it is not %d bytes in hex; remove the key to get a new one", ErrForeign, secretSize)
			f.report(kv, err)
			if ours != nil {
				err = nil
			}
			return ours, err
		}
		made := ours
		if made == nil {
			made = make([]byte, secretSize)
			rand.Read(made) // never fails
		}
		if _, err := f.create(ctx, key, hex.EncodeToString(made)); err != nil {
			return nil, err
		}
	}
}

// create writes a key that does not exist. If the key exists, created is false without an error.
func (f *Fleet) create(ctx context.Context, key, value string) (created bool, err error) {
	bounded, cancel := f.call(ctx)
	defer cancel()
	isNew := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	done, err := f.etcd.Txn(bounded).If(isNew).Then(clientv3.OpPut(key, value)).Commit()
	if err != nil {
		return false, f.explain(ctx, key, err)
	}
	return done.Succeeded, nil
}
