package hosts_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/cmd/sallyport/hosts"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	t.Setenv("HOME", "/home/alice")
	path := write(t, "\xef\xbb\xbf# mine\r\n\n[rig1]\r\naddr = rig1.example:7443\n  pin=SHA256:x=\n; user = bob\nuser = alice # 1\n"+
		"password-file = ~/pw\ncert = a.pem\nkey = /etc/a-key.pem\n[rig.2_x]\n")
	all, err := hosts.Read(path)
	want := []hosts.Host{
		{"rig1", map[string]string{
			"addr": "rig1.example:7443", "pin": "SHA256:x=", "user": "alice # 1", "password-file": "/home/alice/pw",
			"cert": filepath.Join(filepath.Dir(path), "a.pem"), "key": "/etc/a-key.pem",
		}},
		{"rig.2_x", map[string]string{"addr": "rig.2_x"}},
	}
	if diff := cmp.Diff(want, all); diff != "" || err != nil {
		t.Errorf("%v\n%s", err, diff)
	}
	if h := hosts.Find(all, "rig.2_x"); h == nil || h.Name != "rig.2_x" || hosts.Find(all, "rig") != nil {
		t.Error(h)
	}
	if all, err := hosts.Read(path + "x"); len(all) > 0 || err != nil {
		t.Errorf("without a file: %v, %v", all, err)
	}
}

func TestReadNamesTheFault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"[a]\nadr = x":                 "hosts:2: there is no key \"adr\"; there are: addr ca pin user",
		"[a]\nPin = x":                 "hosts:2: there is no key \"Pin\"",
		"addr = x":                     "hosts:1: a heading like [rig1] comes first",
		"[a]\naddr = x\naddr = y":      "hosts:3: addr is there twice",
		"[a]\n[b]\n[a]":                "hosts:3: [a] is there twice",
		"[a]\naddr":                    "hosts:2: \"addr\" is no line like: addr = ",
		"[a]\naddr =":                  "hosts:2: \"addr =\" is no line like",
		"[a]\n= x":                     "hosts:2: there is no key \"\"",
		"[a":                           "hosts:1: \"[a\" is no heading",
		"[]":                           "is no heading",
		"[a b]":                        "is no heading",
		"[a:]":                         "is no heading",
		"[-a]":                         "is no heading",
		"[a] # x":                      "is no heading",
		"[a]\nca = x\npin = y\n[b]":    "hosts:4: [a] has ca and pin, which exclude each other",
		"[a]\nca = x\npin = y":         "[a] has ca and pin",
		"[a]\ncert = x":                "[a] has one of cert and key, which go together",
		strings.Repeat("#\n", 1<<19+1): "larger than 1 MiB",
	} {
		if all, err := hosts.Read(write(t, text)); len(all) > 0 || !errors.Is(err, hosts.ErrSyntax) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

func TestReadRefusesWhatEverybodyCanChange(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("it has no such mode")
	}
	path := write(t, "[a]\n")
	for mode, good := range map[os.FileMode]bool{0o644: true, 0o640: true, 0o660: false, 0o620: false, 0o602: false, 0o666: false} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := hosts.Read(path); (err == nil) != good || err != nil && !errors.Is(err, hosts.ErrWritable) {
			t.Errorf("%v: %v", mode, err)
		}
	}
	if os.Getuid() == 0 {
		if err := errors.Join(os.Chmod(path, 0o600), os.Chown(path, 12345, -1)); err != nil {
			t.Fatal(err)
		}
		if _, err := hosts.Read(path); !errors.Is(err, hosts.ErrWritable) || !strings.Contains(err.Error(), "chown it") {
			t.Errorf("of another user: %v", err)
		}
	}
	if _, err := hosts.Read(t.TempDir()); err == nil {
		t.Error("a directory was read")
	}
}
