package recipes

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need skips a test where something that it needs is not there. With SALLYPORT_NEED, as in CI, the test fails.
func need(t *testing.T, what string, there bool) {
	switch {
	case there:
	case os.Getenv("SALLYPORT_NEED") != "":
		t.Fatal("needs " + what)
	default:
		t.Skip("needs " + what)
	}
}

func installed(command string) bool {
	_, err := exec.LookPath(command)
	return err == nil
}

// TestDocuments does what each document says.
func TestDocuments(t *testing.T) {
	need(t, "root", os.Geteuid() == 0)
	for _, command := range []string{"bash", "ip", "python3", "socat"} {
		need(t, command, installed(command))
	}
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/sallyport").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	documents, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(documents) == 0 {
		t.Fatal("no documents:", err)
	}
	for _, name := range documents {
		if filepath.Base(name) == "operate.md" {
			continue // see TestOperate
		}
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			if filepath.Base(name) == "fleet.md" {
				need(t, "etcd, etcdctl and openssl", installed("etcd") && installed("etcdctl") && installed("openssl"))
			}
			try(t, name, bin)
		})
	}
}

func try(t *testing.T, name, bin string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "examples"), os.DirFS("../../examples")); err != nil {
		t.Fatal(err)
	}
	if err := Run(t.Context(), steps, dir, bin); err != nil {
		t.Fatal(err)
	}
}

// TestControl sees that wrong documents fail.
func TestControl(t *testing.T) {
	need(t, "root", os.Geteuid() == 0)
	for _, c := range []struct{ name, session, want string }{
		{"right", "$ echo a; echo b\na\nb", ""},
		{"any lines", "$ seq 5\n1\n...\n5\n$ true", ""},
		{"any text", "$ echo from 127.0.0.1\nfrom ...", ""},
		{"two lines", "$ echo a \\\n  b\na b", ""},
		{"a server", "one$ mkfifo f; echo up; cat f\nup\n...\ntwo$ echo x >f\none$ echo y\ny", ""},
		{"Ctrl-C", "one$ sh -c 'echo up; sleep 1000'\nup\none$ ^C\none$ echo y\ny", ""},
		{"other text", "$ echo a\nb", `it printed "a", and not "b"`},
		{"more", "$ echo a; echo b\na\n$ true", `it printed "b" as well`},
		{"unexpected", "$ echo a", `it printed "a" as well`},
		{"less", "$ echo a\na\nb", `did not print "b"`},
		{"left behind", "$ (trap '' HUP INT; sleep 1000) & disown\n[1] ...", "left behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			steps, err := Parse("```console\n" + c.session + "\n```\n")
			if err == nil {
				err = Run(context.Background(), steps, t.TempDir(), "/nowhere")
			}
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
