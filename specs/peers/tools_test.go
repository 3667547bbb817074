package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// needed are the tools that must not be missing: SALLYPORT_NEED lists them,
// separated by commas. CI sets it.
func needed() []string {
	return strings.FieldsFunc(os.Getenv("SALLYPORT_NEED"), func(r rune) bool { return r == ',' })
}

// need returns the path of a tool, or skips the spec where it is not installed.
func need(tool string) (path string) {
	GinkgoHelper()
	path, err := exec.LookPath(tool)
	// Debian's PostgreSQL stands in a directory for each version.
	if versions, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + tool); err != nil && len(versions) > 0 {
		return versions[len(versions)-1]
	}
	if err != nil {
		missing(tool, tool+" is not installed")
	}
	return path
}

func missing(tool, why string) {
	GinkgoHelper()
	if slices.Contains(needed(), tool) {
		Fail(why + ", and SALLYPORT_NEED names it")
	}
	Skip(why)
}

// output is what a program prints, which must succeed.
func output(ctx context.Context, stdin string, command ...string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), GinkgoWriter
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), command[0])
	return string(out)
}

// tool is a program that a spec talks to over its standard input and output.
// It ends when the spec does, and everybody who reads from it with it.
type tool struct {
	*exec.Cmd
	in        io.WriteCloser
	out       *bufio.Scanner
	complaint bytes.Buffer // standard error, whole once the program has ended
}

func launch(cmd *exec.Cmd) *tool {
	GinkgoHelper()
	t := &tool{Cmd: cmd}
	stdout, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	t.in, err = cmd.StdinPipe()
	Expect(err).NotTo(HaveOccurred())
	t.out, cmd.Stderr = bufio.NewScanner(stdout), &t.complaint
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
		GinkgoWriter.Printf("%s complains: %s\n", filepath.Base(cmd.Path), t.complaint.String())
	})
	return t
}

// ended is what became of a program that has said all that it had to say.
func (t *tool) ended() error {
	if err := t.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(t.Path), err, t.complaint.String())
	}
	return nil
}
