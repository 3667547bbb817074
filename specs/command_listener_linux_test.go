package specs

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// stopListening makes the listening socket of a process listen no more, behind the back of the process.
func stopListening(pid int) error {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return err
	}
	for _, entry := range all {
		number, err := strconv.Atoi(entry.Name())
		if err != nil {
			return err
		}
		fd, err := unix.PidfdGetfd(process, number, 0)
		if err != nil {
			return err
		}
		listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		domain, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err == nil && listens == 1 && domain == unix.AF_INET { // the control socket listens too
			return errors.Join(unix.Shutdown(fd, unix.SHUT_RD), unix.Close(fd))
		}
		_ = unix.Close(fd)
	}
	return errors.New("no socket listens")
}

var _ = Describe("The command serve, whose socket stops listening", Label("area:command", "command:listener", "promise:7"), func() {
	c := withCLI()

	It("informs the client that has the seat and the one that waits, and ends with 1", func(ctx SpecContext) {
		s := c.Serve(ctx)
		alice, _ := s.Seated(ctx, "alice")
		bob := s.Waiting(ctx, "bob", "alice", "WHOAMI")
		if err := stopListening(s.Command.Process.Pid); errors.Is(err, unix.EPERM) {
			Skip("this process may not take a descriptor of another: " + err.Error())
		} else {
			Expect(err).NotTo(HaveOccurred())
		}
		exits(ctx, bob, 1)
		Expect(stderr(bob)).To(ContainSubstring("421 shutdown "))
		exits(ctx, alice, 1)
		Expect(stderr(alice)).To(ContainSubstring("421 shutdown "))
		exits(ctx, s.Session, 1)
		Expect(stderr(s.Session)).To(MatchRegexp(`\nsallyport serve: accept [^\n]*: invalid argument\n$`))
		Expect(s.LogText()).To(ContainSubstring(`"event":"server.stop"`))
	}, limit)
})
