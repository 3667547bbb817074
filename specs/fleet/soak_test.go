package fleet

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// A gate that is stopped for longer than its lease writes nothing more when it goes on.
func TestStoppedGate(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has the clock that a shared seat needs")
	}
	soak := filepath.Join(t.TempDir(), "soak")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", soak, "./soak").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if out, err := exec.CommandContext(t.Context(), soak, "-faults", "gate-stop=18s").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
