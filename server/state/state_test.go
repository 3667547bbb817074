package state_test

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

// holdDir makes this test binary a process that holds the lock of a directory until its input ends.
const holdDir = "STATE_TEST_HOLD_DIR"

func TestMain(m *testing.M) {
	dir := os.Getenv(holdDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	if _, err := (state.Paths{Dir: dir}).Lock(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

func prepared(t *testing.T, dir string) state.State {
	t.Helper()
	s, err := state.Prepare(dir, nil, now)
	if err != nil || s.Warning != nil {
		t.Fatalf("Prepare: warning %v, error %v", s.Warning, err)
	}
	return s
}

func TestPrepareMakesWhatIsNeeded(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	s := prepared(t, dir)
	if len(s.MockSecret) != 32 {
		t.Errorf("a secret of %d octets", len(s.MockSecret))
	}
	if _, err := certs.Load(s.Cert(), s.Key(), now); err != nil {
		t.Error(err)
	}
	if _, err := certs.Pool(s.CA()); err != nil {
		t.Error(err)
	}
	if users, err := os.ReadFile(s.Users()); err != nil || len(users) != 0 {
		t.Errorf("users: %q, %v", users, err)
	}
	if _, err := os.Stat(s.Audit()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the interaction log: %v", err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	for _, path := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: mode %v, %v", path, info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(dir)
	check(t, err)
	for _, entry := range entries {
		if info, err := entry.Info(); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: mode %v, %v", entry.Name(), info.Mode(), err)
		}
	}
}

func TestPrepareKeepsWhatIsThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := prepared(t, dir)
	check(t, os.WriteFile(first.Users(), []byte("# mine\n"), 0o600))
	if diff := cmp.Diff(first, prepared(t, dir)); diff != "" {
		t.Error(diff)
	}
	if users, err := os.ReadFile(first.Users()); err != nil || string(users) != "# mine\n" {
		t.Errorf("users: %q, %v", users, err)
	}
	if other := prepared(t, t.TempDir()); cmp.Equal(other.MockSecret, first.MockSecret) {
		t.Error("two directories have one secret")
	}
}

func TestPrepareFromManyAtOnce(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "state")
	seen := make([]state.State, 8)
	var group sync.WaitGroup
	for i := range seen {
		group.Go(func() {
			var err error
			if seen[i], err = state.Prepare(dir, nil, now); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for _, s := range seen {
		if diff := cmp.Diff(seen[0], s); diff != "" {
			t.Error(diff)
		}
	}
}

func TestGateIDStays(t *testing.T) {
	t.Parallel()
	p := state.Paths{Dir: t.TempDir()}
	id, err := p.GateID()
	check(t, err)
	if again, err := p.GateID(); again != id || len(id) != 32 || err != nil {
		t.Error(id, again, err)
	}
	if other, err := (state.Paths{Dir: t.TempDir()}).GateID(); other == id || err != nil {
		t.Error("two gates have one id", err)
	}
	check(t, os.WriteFile(filepath.Join(p.Dir, "gate"), []byte(id[1:]), 0o600))
	if _, err := p.GateID(); !errors.Is(err, state.ErrGateID) {
		t.Error(err)
	}
}

func TestPrepareRefusesABadSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{"", "\n", "abcd", strings.Repeat("0", 63), strings.Repeat("0", 66), strings.Repeat("g", 64), strings.Repeat("0", 2000)} {
		dir := t.TempDir()
		s := prepared(t, dir)
		check(t, os.WriteFile(s.Secret(), []byte(secret), 0o600))
		_, err := state.Prepare(dir, nil, now)
		if err == nil || !strings.Contains(err.Error(), s.Secret()) || (len(secret) < 1024 && !errors.Is(err, state.ErrSecret)) {
			t.Errorf("%q: %v", secret, err)
		} else if len(secret) > 1 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error quotes the secret: %v", err)
		}
		check(t, os.WriteFile(s.Secret(), []byte(strings.Repeat("0", 64)), 0o600))
		prepared(t, dir)
	}
}

func TestPrepareRefusesADirectory(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	file := filepath.Join(base, "file")
	check(t, os.WriteFile(file, nil, 0o600))
	dirs := []string{file, filepath.Join(file, "below")}
	if runtime.GOOS == "linux" {
		dirs = append(dirs, "/proc/self/none")
	}
	if os.Geteuid() == 0 {
		owned := filepath.Join(base, "owned")
		check(t, errors.Join(os.Mkdir(owned, 0o700), os.Chown(owned, 12345, -1)))
		dirs = append(dirs, owned)
	}
	for _, dir := range dirs {
		if _, err := state.Prepare(dir, nil, now); !errors.Is(err, state.ErrDir) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

func TestPrepareRefusesADirectoryThatOthersCanWrite(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are elsewhere")
	}
	for mode, good := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o775: false, 0o702: false, 0o777 | os.ModeSticky: false} {
		dir := filepath.Join(t.TempDir(), "state")
		check(t, errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, mode)))
		_, err := state.Prepare(dir, nil, now)
		if good != (err == nil) || (!good && !errors.Is(err, state.ErrDir)) {
			t.Errorf("mode %v: %v", mode, err)
		}
		if entries, _ := os.ReadDir(dir); !good && len(entries) > 0 {
			t.Errorf("mode %v: made %v", mode, entries)
		}
	}
}

func TestPrepareWithoutCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := prepared(t, dir)
	check(t, errors.Join(os.Remove(filepath.Join(dir, certs.CAKeyFile)), os.Remove(s.Cert())))
	again, err := state.Prepare(dir, nil, now)
	if !errors.Is(err, state.ErrCertificates) || !errors.Is(err, certs.ErrNoCAKey) {
		t.Errorf("error %v", err)
	}
	if diff := cmp.Diff(s, again); diff != "" {
		t.Errorf("the rest: %s", diff)
	}
}

func TestPrepareWarns(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	prepared(t, dir)
	check(t, os.Remove(filepath.Join(dir, certs.CAKeyFile)))
	if s, err := state.Prepare(dir, nil, now.Add(350*24*time.Hour)); err != nil || !errors.Is(s.Warning, certs.ErrEndsSoon) {
		t.Errorf("warning %v, error %v", s.Warning, err)
	}
}

func TestPrepareWarnsOfFilesThatOthersCanRead(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are kept elsewhere")
	}
	dir := filepath.Join(t.TempDir(), "state")
	s, err := state.Prepare(dir, nil, now)
	if err != nil || s.Warning != nil {
		t.Fatal(err, s.Warning)
	}
	for _, file := range []string{s.Users(), s.Secret()} {
		check(t, os.Chmod(file, 0o644))
		s, err = state.Prepare(dir, nil, now)
		if err != nil || s.Warning == nil || !strings.Contains(s.Warning.Error(), file+" (mode 0644)") {
			t.Errorf("%s: %v, %v", file, err, s.Warning)
		}
	}
}

func TestLockKeepsASecondServerOff(t *testing.T) {
	t.Parallel()
	paths := state.Paths{Dir: t.TempDir()}
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdDir+"="+paths.Dir)
	child.Stdout = nil
	out, err := child.StdoutPipe()
	check(t, err)
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	check(t, child.Start())
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "held\n" {
		t.Fatalf("the other process says %q", line)
	}
	_, err = paths.Lock()
	if !errors.Is(err, state.ErrInUse) || !strings.Contains(err.Error(), paths.Dir) || !strings.Contains(err.Error(), strconv.Itoa(child.Process.Pid)) {
		t.Errorf("while it runs: %v", err)
	}
	check(t, child.Process.Kill())
	_ = child.Wait()
	release, err := paths.Lock()
	if err != nil {
		t.Fatalf("after it was killed: %v", err)
	}
	if _, err := paths.Lock(); !errors.Is(err, state.ErrInUse) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
		t.Errorf("twice in one process: %v", err)
	}
	release()
	if release, err = paths.Lock(); err != nil {
		t.Fatalf("after the release: %v", err)
	}
	release()
	if _, err := (state.Paths{Dir: filepath.Join(paths.Dir, "none")}).Lock(); err == nil || errors.Is(err, state.ErrInUse) {
		t.Errorf("in a missing directory: %v", err)
	}
}

func TestLockLeavesTheUserCommandsAlone(t *testing.T) {
	t.Parallel()
	s := prepared(t, t.TempDir())
	release, err := s.Lock()
	check(t, err)
	defer release()
	prepared(t, s.Dir)
}

func TestDefault(t *testing.T) {
	base := t.TempDir()
	t.Setenv("XDG_STATE_HOME", base)
	if dir, err := state.Default(); err != nil || dir != filepath.Join(base, "sallyport") {
		t.Errorf("%q, %v", dir, err)
	}
	if runtime.GOOS == "windows" {
		return
	}
	t.Setenv("HOME", base)
	for _, value := range []string{"", "relative"} {
		t.Setenv("XDG_STATE_HOME", value)
		if dir, err := state.Default(); err != nil || dir != filepath.Join(base, ".local/state/sallyport") {
			t.Errorf("with %q: %q, %v", value, dir, err)
		}
	}
	t.Setenv("HOME", "")
	if dir, err := state.Default(); err == nil {
		t.Errorf("without a home: %q", dir)
	}
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
