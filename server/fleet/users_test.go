package fleet

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"

	"github.com/sallyport/sallyport/protocol/scram"
)

// quiet returns a Fleet without a connection.
func quiet() *Fleet {
	return &Fleet{prefix: "lab", log: slog.New(slog.DiscardHandler), reported: map[string]int64{}}
}

func verifier(t *testing.T) scram.Verifier {
	t.Helper()
	v, err := scram.NewVerifier("secret", nil, scram.MinIterations)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTakeUser(t *testing.T) {
	t.Parallel()
	f, text := quiet(), verifier(t).String()
	for _, c := range []struct{ key, value, known string }{
		{"lab/users/alice", text, "alice"},
		{"lab/users/a%2Fb", text, "a/b"},
		{"lab/users/%23", text, "#"},
		{"lab/users/alice", text + " ", ""},
		{"lab/users/alice", "", ""},
		{"lab/users/alice", "SCRAM-SHA-1" + strings.TrimPrefix(text, "SCRAM-SHA-256"), ""},
		{"lab/users/alice", text + strings.Repeat(" ", maxValue), ""},
		{"lab/users/a/b", text, ""},
		{"lab/users/a%2fb", text, ""},
		{"lab/users/", text, ""},
		{"lab/users", text, ""},
		{"lab/users/" + strings.Repeat("a", scram.MaxName+1), text, ""},
		{"lab/users/%C2%AA", text, ""},
		{"lab/users/a%00", text, ""},
		{"lab/users/%FF", text, ""},
	} {
		kv := &mvccpb.KeyValue{Key: []byte(c.key), Value: []byte(c.value)}
		all := map[string]scram.Verifier{"alice": {}}
		f.takeUser(all, kv, false)
		_, known := all[c.known]
		old, kept := all["alice"]
		if c.known != "" && !known || len(all) > 2 || c.key == "lab/users/alice" && kept && old.Iterations == 0 {
			t.Errorf("%.40s=%.40s: %v", c.key, c.value, all)
		}
		if c.known == "" && c.key != "lab/users/alice" && len(all) != 1 {
			t.Errorf("%.40s: %v", c.key, all)
		}
	}
}

func TestNoMoreUsersThanTheLimit(t *testing.T) {
	t.Parallel()
	f, all, text := quiet(), map[string]scram.Verifier{}, verifier(t).String()
	for n := range maxUsers {
		all[fmt.Sprint(n)] = scram.Verifier{}
	}
	take := func(name string) {
		f.takeUser(all, &mvccpb.KeyValue{Key: []byte("lab/users/" + name), Value: []byte(text)}, false)
	}
	take("alice")
	take("7")
	if _, known := all["alice"]; known || all["7"].Iterations == 0 {
		t.Error("a new user beyond the limit, or no new password")
	}
}

func TestForeignValuesAreReportedOnce(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	f := quiet()
	f.log = slog.New(slog.NewTextHandler(&out, nil))
	for _, revision := range []int64{7, 7, 8} {
		f.takeUser(map[string]scram.Verifier{}, &mvccpb.KeyValue{Key: []byte("lab/users/alice"), Value: []byte("pass\nword"), ModRevision: revision}, false)
	}
	if strings.Count(out.String(), "\n") != 2 || strings.Contains(out.String(), "word") && !strings.Contains(out.String(), "password again") {
		t.Error(out.String())
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:2,127.0.0.1:1/lab"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	turned, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:1,127.0.0.1:2/lab"})
	if err != nil {
		t.Fatal(err)
	}
	defer turned.Close()
	path := filepath.Join(t.TempDir(), "copy")
	u := &Users{fleet: f, path: path}
	if err := u.writeCopy(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("a copy of nothing was written")
	}
	v, secret := verifier(t), []byte(strings.Repeat("s", secretSize))
	u.remake(secret, map[string]scram.Verifier{"alice": v, "a/b": v})
	if err := u.writeCopy(t.Context()); err != nil {
		t.Error(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Fleet{f, turned} {
		got, all, err := f.decodeCopy(data)
		if err != nil || string(got) != string(secret) || len(all) != 2 || !all["a/b"].Equal(v) {
			t.Error(all, err)
		}
	}
	text := string(data)
	for name, changed := range map[string]string{
		"nothing": "", "other schema": strings.Replace(text, copySchema, "x", 1), "cut": text[:len(text)-1],
		"other prefix": strings.Replace(text, "/lab", "/lob", 1), "short secret": strings.Replace(text, "7373", "73", 1),
		"a verifier": strings.Replace(text, "SCRAM-SHA-256$", "SCRAM-SHA-256$x", 1),
	} {
		if _, _, err := f.decodeCopy([]byte(changed)); !errors.Is(err, ErrForeign) || strings.Contains(err.Error(), "SCRAM") {
			t.Error(name, err)
		}
	}
}

func TestCopyIsRestored(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	u := &Users{fleet: f, path: filepath.Join(t.TempDir(), "copy")}
	u.remake([]byte(strings.Repeat("s", secretSize)), map[string]scram.Verifier{"alice": verifier(t)})
	if err := u.writeCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(u.path, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := u.writeCopy(t.Context()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(u.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("others can read the copy", info.Mode(), err)
	}
}

func TestLookupDoesTheSameWorkForEachName(t *testing.T) { // not in parallel, as AllocsPerRun demands
	u := &Users{fleet: quiet()}
	u.remake([]byte(strings.Repeat("s", secretSize)), map[string]scram.Verifier{"alice": verifier(t)})
	work := map[string]float64{}
	for _, name := range []string{"alice", "nobody"} {
		work[name] = testing.AllocsPerRun(100, func() { _, _, _ = u.Lookup(name) })
	}
	if work["alice"] != work["nobody"] || work["alice"] == 0 {
		t.Error("the allocations of a Lookup show who is a user:", work)
	}
}
