package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine says on what, and of what, the figures are.
func machine(at time.Time) string {
	return fmt.Sprintf("Machine: %s, %d cores (GOMAXPROCS %d), %s, %s/%s%s, %s%s.",
		cpu(), runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(),
		runtime.GOOS, runtime.GOARCH, kernel(), at.Format(time.DateOnly), revision())
}

// rawHeader is what benchstat wants to know.
func rawHeader() string {
	return fmt.Sprintf("goos: %s\ngoarch: %s\npkg: github.com/sallyport/sallyport/bench\ncpu: %s\n",
		runtime.GOOS, runtime.GOARCH, cpu())
}

func cpu() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if key, value, _ := strings.Cut(line, ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

func kernel() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return ""
	}
	version, _, _ := strings.Cut(strings.TrimSpace(string(release)), "-") // without who built it
	return " " + version
}

func revision() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return ""
	}
	return ", revision " + strings.TrimSpace(string(out))
}
