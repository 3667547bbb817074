package fleet

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// command builds the command once, and returns its path.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(commandDir, "sallyport")
	build := exec.Command("go", "build", "-o", path, "./cmd/sallyport")
	build.Dir = filepath.Join("..", "..")
	out, err := build.CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return path, err
})

// commandDir is the folder of the command, until the tests end.
var commandDir string

func TestMain(m *testing.M) {
	code := 1
	dir, err := os.MkdirTemp("", "sallyport-fleet-")
	if err == nil {
		commandDir = dir
		code = m.Run()
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// stateHome is the parent of the state directory of a test.
func stateHome(t *testing.T) string { return filepath.Join(commandDir, t.Name()) }

// prepared returns a run of the command.
func prepared(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := command()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+stateHome(t), "XDG_CACHE_HOME="+filepath.Join(commandDir, "cache"))
	return cmd
}

// sallyport runs the command and returns its exit code, and all that it prints.
func sallyport(t *testing.T, stdin string, args ...string) (code int, out string) {
	t.Helper()
	_, _ = command() // before the time starts: a build may take longer
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := prepared(ctx, t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	text, err := cmd.CombinedOutput()
	if _, ended := errors.AsType[*exec.ExitError](err); err != nil && !ended {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(text)
}
