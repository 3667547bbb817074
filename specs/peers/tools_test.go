package peers

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// output runs a program, which must succeed, and returns what it prints.
func output(ctx context.Context, stdin string, command ...string) string {
	GinkgoHelper()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), GinkgoWriter
	out, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred(), command[0])
	return string(out)
}

// tool is a program whose standard input and output a spec uses. It ends with the spec, and so do reads from it.
type tool struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Scanner
	// complaint is its standard error, which is complete when the program has ended.
	complaint bytes.Buffer
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

// ended waits for the end of a program, and returns its error.
func (t *tool) ended() error {
	if err := t.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(t.Path), err, t.complaint.String())
	}
	return nil
}
