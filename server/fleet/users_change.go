package fleet

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/users"
)

// AddUser adds a user for all gates. The errors are those of [users.Add], [ErrAway] and [ErrRefused]. Zero iterations
// mean [scram.DefaultIterations].
func (f *Fleet) AddUser(ctx context.Context, name, password string, iterations int) error {
	prepared, v, err := users.Make(name, password, iterations)
	if err != nil {
		return err
	}
	if _, err := f.secret(ctx, nil); err != nil { // so that gates need no right to create it
		return err
	}
	created, err := f.create(ctx, f.key("users", prepared), v.String())
	if err == nil && !created {
		err = fmt.Errorf("%q: %w", prepared, users.ErrExists)
	}
	return err
}

// SetUserPassword replaces the verifier of a user, also if the old value is not Sallyport's. The errors are those of
// [users.SetPassword], [ErrAway] and [ErrRefused].
func (f *Fleet) SetUserPassword(ctx context.Context, name, password string, iterations int) error {
	prepared, v, err := users.Make(name, password, iterations)
	if err != nil {
		return err
	}
	return f.change(ctx, prepared, func(key string) clientv3.Op { return clientv3.OpPut(key, v.String()) })
}

// RemoveUser removes a user from all gates. The errors are those of [users.Remove], [ErrAway] and [ErrRefused].
func (f *Fleet) RemoveUser(ctx context.Context, name string) error {
	prepared, err := scram.Prepare(name)
	if err != nil {
		return err
	}
	return f.change(ctx, prepared, func(key string) clientv3.Op { return clientv3.OpDelete(key) })
}

// change changes the key of a user who exists.
func (f *Fleet) change(ctx context.Context, prepared string, operation func(key string) clientv3.Op) error {
	bounded, cancel := f.call(ctx)
	defer cancel()
	key := f.key("users", prepared)
	done, err := f.etcd.Txn(bounded).If(clientv3.Compare(clientv3.CreateRevision(key), ">", 0)).Then(operation(key)).Commit()
	switch {
	case err != nil:
		return f.explain(ctx, key, err)
	case !done.Succeeded:
		return fmt.Errorf("%q: %w", prepared, users.ErrNoUser)
	}
	return nil
}

// Users returns the users in the order of their keys, at most 100,000. If values are not Sallyport's, it returns the
// other users and an error that names the first hundred of these keys ([ErrForeign]).
func (f *Fleet) Users(ctx context.Context) (entries []users.Entry, err error) {
	var faults []error
	key := f.key("users") + "/"
	_, err = f.scan(ctx, key, func(kv *mvccpb.KeyValue) {
		name, v, err := f.decodeUser(kv, false)
		switch {
		case err == nil && len(entries) < maxUsers:
			entries = append(entries, users.Entry{Name: name, Iterations: v.Iterations})
		case err != nil && len(faults) < 100:
			faults = append(faults, fmt.Errorf("%.300q: %w", kv.Key, err))
		}
	})
	return entries, errors.Join(f.explain(ctx, key, err), errors.Join(faults...))
}
