package fleet

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sallyport/sallyport/server/certs"
)

// onlyAllow starts the authentication of an etcd that the CA in dir secures: the user gate may use the keys with some
// prefixes, and no other.
func (e *etcd) onlyAllow(dir string, prefixes ...string) {
	e.t.Helper()
	cert, key, err := certs.IssueClient(dir, "root", time.Now())
	if err != nil {
		e.t.Fatal(err)
	}
	secure, err := transport.TLSInfo{CertFile: cert, KeyFile: key, TrustedCAFile: filepath.Join(dir, certs.CAFile)}.ClientConfig()
	if err != nil {
		e.t.Fatal(err)
	}
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{"https://" + e.endpoint}, TLS: secure, Logger: zap.NewNop()})
	if err != nil {
		e.t.Fatal(err)
	}
	defer c.Close()
	ctx := e.t.Context()
	var errs []error
	for _, name := range []string{"root", "gate"} {
		_, err := c.RoleAdd(ctx, name)
		errs = append(errs, err)
		_, err = c.UserAddWithOptions(ctx, name, "", &clientv3.UserAddOptions{NoPassword: true})
		errs = append(errs, err)
		_, err = c.UserGrantRole(ctx, name, name)
		errs = append(errs, err)
	}
	for _, prefix := range prefixes {
		_, err := c.RoleGrantPermission(ctx, "gate", prefix, clientv3.GetPrefixRangeEnd(prefix), clientv3.PermissionType(clientv3.PermReadWrite))
		errs = append(errs, err)
	}
	_, err = c.AuthEnable(ctx)
	for _, err := range append(errs, err) {
		if err != nil {
			e.t.Fatal(err)
		}
	}
}

// A gate whose certificate lacks a right says at the start which key etcd refuses, and so does the reply to a login.
func TestRightThatIsMissing(t *testing.T) {
	t.Parallel()
	dir, cert, key := lab(t)
	e := secureEtcd(t, dir)
	e.onlyAllow(dir, "lab/rigs/scope/")
	tls := []string{"--fleet-ca", filepath.Join(dir, certs.CAFile), "--fleet-cert", cert, "--fleet-key", key}
	state := filepath.Join(stateHome(t), "gate")
	addUser(t, state)
	gate := e.serve(state, append(tls, "--rig", "scope", "--fleet-seat")...)
	eventually(t, "the log of the gate has the key", func() bool {
		return strings.Contains(gate.text(), "no client of this gate gets the seat") && strings.Contains(gate.text(), "etcd refuses: permission denied on lab/seats/scope/: ")
	})
	if code, out := gate.asks("WHOAMI"); code != 5 || !strings.Contains(out, "etcd refuses this gate the queue of this rig: permission denied") {
		t.Error(code, out)
	}
	code, out := sallyport(t, "", append(tls, "rigs", "--fleet", e.url())...)
	if code != 3 || !strings.Contains(out, "sallyport rigs: etcd refuses: permission denied on lab/rigs/: ") {
		t.Error(code, out)
	}
}

// A key that somebody has written by hand has no lease, and stays. What it blocks says so, and what to do.
func TestKeyWithoutALease(t *testing.T) {
	t.Parallel()
	e := startEtcd(t)
	ghost, rig := "lab/seats/scope/ghost", "lab/rigs/psu/"+id(5)
	for key, value := range map[string]string{ghost: `{"schema":"sallyport-place/1","user":"ghost"}`, rig: `{"schema":"sallyport-rig/1","addr":"a:1"}`} {
		if _, err := e.client().Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	state := filepath.Join(stateHome(t), "gate")
	gate := e.serve(state, "--rig", "scope", "--fleet-seat")
	advice := "it has no lease, so it stays until somebody deletes it: etcdctl del "
	eventually(t, "the log of the gate has the place", func() bool { return strings.Contains(gate.text(), advice+ghost) })
	for _, says := range []struct {
		code int
		want string
		args []string
	}{
		{5, "seat         taken by ghost, at no gate, since ", []string{"status", "--state", state}},
		{5, "WARNING: a place in the queue has no lease, so it stays until somebody deletes it: etcdctl del " + ghost + "\n", []string{"status", "--state", state}},
		{1, "sallyport evict: the seat is free here: ghost has the shared seat by a key without a lease: etcdctl del " + ghost + "\n", []string{"evict", "--state", state}},
		{0, "warning: a key in etcd is not a server's: " + rig + ": " + advice + rig + "\n", []string{"rigs", "--fleet", e.url()}},
		{1, "the name of the rig is taken by a key that is not a server's: " + advice + rig, []string{
			"serve", "--listen", "127.0.0.1:0", "--state", filepath.Join(stateHome(t), "other"), "--fleet", e.url(), "--rig", "psu",
		}},
	} {
		code, out := sallyport(t, "", says.args...)
		out = strings.Join(strings.FieldsFunc(out, func(r rune) bool { return r == '\n' }), "\n") + "\n"
		if code != says.code || !strings.Contains(strings.ReplaceAll(out, ",\n             ", ", "), says.want) {
			t.Errorf("%s: %d %s", says.args, code, out)
		}
	}
}
