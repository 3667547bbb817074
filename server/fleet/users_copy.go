package fleet

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/state/durable"
)

const (
	copySchema = "sallyport-fleet-users/1"
	// maxCopy bounds the file of the copy, in bytes.
	maxCopy = 64 << 20
	// copyRetry is the time between two attempts to write the copy.
	copyRetry = 10 * time.Second
)

// usersCopy is the file with the users of the last reading.
type usersCopy struct {
	Schema string `json:"schema"`
	// Fleet is the address of etcd. A copy with another address is not used.
	Fleet  string            `json:"fleet"`
	Secret string            `json:"secret"`
	Users  map[string]string `json:"users"`
}

// address returns endpoints and prefix in a form that does not depend on the order of the endpoints.
func (f *Fleet) address() string {
	return strings.Join(slices.Sorted(slices.Values(f.etcd.Endpoints())), ",") + "/" + f.prefix
}

// readCopy takes the users of the copy, if there is one. A copy that can't be used is logged.
func (u *Users) readCopy() {
	data, _, err := durable.Read(u.path, maxCopy)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var secret []byte
	var all map[string]scram.Verifier
	if err == nil {
		secret, all, err = u.fleet.decodeCopy(data)
	}
	if err != nil {
		u.fleet.log.Warn("the copy of the users in etcd is not used", "copy", u.path, "error", err)
		return
	}
	u.remake(secret, all)
}

// decodeCopy reads a copy. One fault makes the whole copy unusable.
func (f *Fleet) decodeCopy(data []byte) (secret []byte, all map[string]scram.Verifier, err error) {
	var c usersCopy
	if err := json.Unmarshal(data, &c); err != nil || c.Schema != copySchema {
		return nil, nil, fmt.Errorf("%w: it is no %s", ErrForeign, copySchema)
	}
	if c.Fleet != f.address() {
		return nil, nil, fmt.Errorf("%w: it is a copy of %.200q, not of %s", ErrForeign, c.Fleet, f.address())
	}
	secret, err = hex.DecodeString(c.Secret)
	all = map[string]scram.Verifier{}
	for name, text := range c.Users {
		v, bad := scram.ParseVerifier(text)
		all[name] = v
		err = errors.Join(err, bad)
	}
	if err != nil || len(secret) != secretSize || len(all) > maxUsers {
		return nil, nil, fmt.Errorf("%w: it was changed", ErrForeign)
	}
	return secret, all, nil
}

// encodeCopy returns the copy of the current users, or nil if nothing was read.
func (u *Users) encodeCopy() ([]byte, error) {
	u.mu.Lock()
	secret, all := u.secret, maps.Clone(u.verified)
	u.mu.Unlock()
	if secret == nil {
		return nil, nil
	}
	c := usersCopy{Schema: copySchema, Fleet: u.fleet.address(), Secret: hex.EncodeToString(secret), Users: map[string]string{}}
	for name, v := range all {
		c.Users[name] = v.String()
	}
	return json.Marshal(c)
}

// writeCopy writes the copy, unless the file has it already or nothing was read.
func (u *Users) writeCopy(context.Context) error {
	data, err := u.encodeCopy()
	if data == nil || err != nil {
		return err
	}
	if was, info, err := durable.Read(u.path, maxCopy); err == nil && info.Mode().Perm() == 0o600 && string(was) == string(data) {
		return nil
	}
	return durable.Write(u.path, data)
}
