package fleet

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"etcd://127.0.0.1:2379":                 "127.0.0.1:2379 sallyport",
		"etcd://a:1,b.example:2,[::1]:3/lab":    "a:1 b.example:2 [::1]:3 lab",
		"etcd://localhost:2379/a/b-c.d_e/":      "localhost:2379 a/b-c.d_e",
		"http://a:1":                            "is not etcd://",
		"etcd://":                               "is not HOST:PORT",
		"etcd://a":                              "is not HOST:PORT",
		"etcd://a:1,":                           "is not HOST:PORT",
		"etcd://u:p@a:1":                        "is not HOST:PORT",
		"etcd://a:0":                            "is no port",
		"etcd://a:65536":                        "is no port",
		"etcd://a:1/a b":                        "the prefix",
		"etcd://a:1/a//b":                       "the prefix",
		"etcd://" + strings.Repeat("a:1,", 17):  "at most 16",
		"etcd://a:1/" + strings.Repeat("x", 65): "the prefix",
		"etcd://\x1b[2J:1":                      `\x1b`,
	} {
		p, err := parse(address)
		got := strings.Join(append(p.hosts, p.prefix), " ")
		if err != nil {
			got = err.Error()
		}
		if err != nil && !errors.Is(err, ErrConfig) || !strings.Contains(got, want) || err == nil && got != want {
			t.Errorf("%s: %s", address, got)
		}
	}
}

func TestOpenWithoutEtcd(t *testing.T) {
	t.Parallel()
	f, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestOnlyLoopbackWithoutACA(t *testing.T) {
	t.Parallel()
	for url, ok := range map[string]bool{
		"etcd://127.8.8.8:1": true, "etcd://[::1]:1": true, "etcd://localhost:1": true,
		"etcd://127.0.0.1:1,10.0.0.1:1": false, "etcd://etcd.example:1": false, "etcd://[fe80::1]:1": false,
	} {
		f, err := Open(t.Context(), Config{URL: url})
		if err == nil {
			defer func(c io.Closer) { _ = c.Close() }(f)
		}
		if (err == nil) != ok || err != nil && (!errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "--fleet-ca")) {
			t.Error(url, err)
		}
	}
	if _, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:1", Cert: "c"}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
	if _, err := Open(t.Context(), Config{URL: "etcd://127.0.0.1:1", Cert: "c", Key: "k"}); !errors.Is(err, ErrConfig) {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	f := &Fleet{prefix: "lab"}
	for _, parts := range [][]string{{"rigs", "a", "b"}, {"users", "a/b"}, {"users", "%2F"}, {"users", "ü \x00"}} {
		key := f.key(parts...)
		got, ok := f.parts(key)
		if !ok || strings.Join(got, "|") != strings.Join(parts, "|") || strings.Count(key, "/") != len(parts) {
			t.Error(parts, key, got)
		}
	}
	for _, key := range []string{"laboratory/a", "lab", "lab/%2f", "lab/%"} {
		if got, ok := f.parts(key); ok {
			t.Error(key, got)
		}
	}
}

func TestDecode(t *testing.T) {
	t.Parallel()

	for value, want := range map[string]string{
		`{"schema":"s/1","n":1}`:  "",
		`{"schema":"s/2"}`:        `its schema is "s/2"`,
		`{"schema":"s/1","n":""}`: "cannot unmarshal",
		`[]`:                      "no JSON object",
		`{`:                       "no JSON object",
		"":                        "no JSON object",
		`{"schema":"s/1","n":1,"x":"` + strings.Repeat("x", maxValue) + `"}`: "bytes",
	} {
		var into struct{ N int }
		err := decode([]byte(value), "s/1", &into)
		if want == "" && (err != nil || into.N != 1) || want != "" && (!errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.40s: %v", value, err)
		}
	}
}
