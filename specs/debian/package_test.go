package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// packages of the test: SPECS_DEB is a directory with old.deb and new.deb, two versions of the package, and in which
// the archive of the small Debian is kept.
func directory(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("SPECS_DEB")
	if dir == "" {
		t.Skip(`"make package-test" runs this`)
	}
	return dir
}

// host is a booted Debian with the packages in its /root.
type host struct {
	*testing.T
	*Container
}

func boot(t *testing.T) host {
	t.Helper()
	dir := directory(t)
	c, err := Boot(t.Context(), filepath.Join(dir, "debian.tar"), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	for _, name := range []string{"old.deb", "new.deb"} {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(c.Root, "root", name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return host{t, c}
}

// do runs a command that must succeed.
func (h host) do(command string) string {
	h.Helper()
	out, err := h.Sh(context.WithoutCancel(h.Context()), command)
	if err != nil {
		journal, _ := h.Sh(context.WithoutCancel(h.Context()), "journalctl --no-pager --lines 20 --unit 'sallyport*'")
		h.Fatalf("%v\n%s", err, journal)
	}
	return strings.TrimSpace(out)
}

// is demands what a command prints.
func (h host) is(command, want string) {
	h.Helper()
	if got := h.do(command); got != want {
		h.Fatalf("%s: %q, want %q", command, got, want)
	}
}

const (
	login = `echo "secret of alice" >pw && chmod 600 pw && sallyport connect --ca /var/lib/sallyport/ca.pem --user alice --password-file pw ECHO hello`
	// fingerprint identifies what the operator would miss: users, keys, and where the log began.
	fingerprint = `cd /var/lib/sallyport && cat users ca.pem ca-key.pem key.pem secret | sha256sum && head -n 3 /var/log/sallyport/audit.jsonl | sha256sum`
)

// TestPackage tries the package on one Debian, because booting takes longest.
func TestPackage(t *testing.T) {
	h := boot(t)
	for _, part := range []struct {
		name string
		test func(host)
	}{{"Life", life}, {"Units", units}, {"Rotation", rotation}} {
		t.Run(part.name, func(t *testing.T) { part.test(host{t, h.Container}) })
	}
}

// life installs, uses, upgrades, removes and purges the package, and installs it again.
func life(h host) {
	h.do("dpkg --install old.deb")
	h.is("systemctl is-active sallyport.service sallyport.socket", "active\nactive")
	h.is("systemctl is-enabled sallyport.service sallyport.socket", "enabled\nenabled")
	h.is("runuser -u sallyport -- sallyport user list", "")
	h.do(`echo "secret of alice" | runuser -u sallyport -- sallyport user add alice --password-stdin`)
	h.is(login, "hello")
	h.is("systemctl show --property StatusText sallyport", "StatusText=The seat is free")
	h.is("stat --format '%a %U' /var/lib/sallyport /var/log/sallyport", "700 sallyport\n700 sallyport")
	h.do("runuser -u sallyport -- sallyport log sessions | grep alice")

	before, socket := h.do(fingerprint), h.do("systemctl show --property InvocationID sallyport.socket")
	pid := h.do("systemctl show --property MainPID sallyport.service")
	h.do("dpkg --install new.deb")
	h.is("systemctl is-active sallyport.service sallyport.socket", "active\nactive")
	if h.do("systemctl show --property MainPID sallyport.service") == pid {
		h.Error("the old version runs on")
	}
	h.is("systemctl show --property InvocationID sallyport.socket", socket)
	h.is(fingerprint, before)
	h.is(login, "hello")

	h.do("systemctl disable sallyport.service && dpkg --install old.deb new.deb")
	h.is("systemctl is-enabled sallyport.service || true", "disabled")

	h.do("dpkg --remove sallyport")
	h.is("systemctl is-active sallyport.service sallyport.socket || true", "inactive\ninactive")
	h.is(fingerprint, before)
	purged := h.do("dpkg --purge sallyport")
	if !strings.Contains(purged, "/var/lib/sallyport is kept") || !strings.Contains(purged, "/var/log/sallyport is kept") {
		h.Errorf("purge says: %s", purged)
	}
	h.is("ls /etc/default/sallyport /etc/logrotate.d/sallyport 2>/dev/null || true", "")
	h.is(fingerprint, before)
	h.do("dpkg --install new.deb")
	h.is(login, "hello")
}

// units judges the units as systemd does, also with each drop-in.
func units(h host) {
	h.is("systemd-analyze verify sallyport.service sallyport.socket", "")
	const dropIns = "/etc/systemd/system/sallyport.service.d"
	use := func(dropIn, variables string) {
		h.do(fmt.Sprintf(`mkdir -p %[1]s && rm -f %[1]s/* && cp /usr/share/doc/sallyport/examples/%[2]s.conf %[1]s/
			printf '%[3]s' >/etc/default/sallyport && systemctl daemon-reload && systemctl restart sallyport`, dropIns, dropIn, variables))
		h.is("systemd-analyze verify sallyport.service", "")
	}
	use("serial", `SALLYPORT_BACKEND=serial:/dev/ttyS9,115200,8N1\n`)
	h.is("systemctl is-active sallyport", "active")
	use("backend-user", `SALLYPORT_BACKEND="exec:id -un"\nSALLYPORT_BACKEND_USER=games\n`)
	h.is(strings.Replace(login, "ECHO hello", "--open </dev/null", 1), "games")
	h.do("rm -r " + dropIns + " && : >/etc/default/sallyport && systemctl daemon-reload && systemctl restart sallyport")
	h.is(login, "hello")
}

// rotation rotates the log as logrotate does each week.
func rotation(h host) {
	h.do("logrotate --force /etc/logrotate.d/sallyport")
	h.is(login, "hello")
	h.do("cd /var/log/sallyport && sallyport log verify audit.jsonl-* audit.jsonl")
	h.do("grep -q log.rotate /var/log/sallyport/audit.jsonl")
}

// TestExposure judges the unit without a Debian of its own.
func TestExposure(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		if os.Getenv("SALLYPORT_NEED") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	text, err := os.ReadFile("../../cmd/sallyport/packaging/sallyport.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, text string
		good       bool
	}{
		{"as it is", string(text), true},
		{"control: as root", strings.NewReplacer("\nUser=sallyport", "", "\nCapabilityBoundingSet=\n", "\n").Replace(string(text)), false},
	} {
		unit := filepath.Join(t.TempDir(), "sallyport.service")
		if err := os.WriteFile(unit, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=14", unit).CombinedOutput()
		if good := err == nil; good != c.good {
			t.Errorf("%s: an exposure of at most 1.4: %v\n%s", c.name, good, out)
		}
	}
}
