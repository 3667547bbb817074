//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// cables join the clients, who are in a network namespace of their own, to the gates: one cable for each gate. Without
// root the clients are where the gates are, and no cable can be cut.
type cables struct {
	space string   // "" without root
	hosts []string // of the gates
	links []string // on the gates' side
}

func layCables(gates int) (*cables, error) {
	c := &cables{}
	if _, err := exec.LookPath("ip"); err != nil || os.Geteuid() != 0 {
		for range gates {
			c.hosts = append(c.hosts, "127.0.0.1")
		}
		return c, nil
	}
	c.space = fmt.Sprintf("fleet-%d", os.Getpid())
	if err := ip("netns add " + c.space); err != nil {
		return c, err
	}
	third := os.Getpid() % 250
	for i := range gates {
		host, link := fmt.Sprintf("10.%d.%d.1", 80+i, third), fmt.Sprintf("fl%d-%d", os.Getpid(), i)
		c.hosts, c.links = append(c.hosts, host), append(c.links, link)
		for _, line := range []string{
			fmt.Sprintf("link add %s type veth peer name eth%d netns %s", link, i, c.space),
			"addr add " + host + "/30 dev " + link,
			fmt.Sprintf("-n %s addr add %s/30 dev eth%d", c.space, other(host), i),
			"link set " + link + " up", fmt.Sprintf("-n %s link set eth%d up", c.space, i),
		} {
			if err := ip(line); err != nil {
				return c, err
			}
		}
	}
	return c, nil
}

func other(host string) string { return strings.TrimSuffix(host, "1") + "2" }

// cut makes both ends of a gate's cable send to an Ethernet address that nobody has. No kernel notices.
func (c *cables) cut(gate int) error {
	const lost = " nud permanent lladdr 02:00:00:00:00:99"
	return errors.Join(ip("neigh replace "+other(c.hosts[gate])+" dev "+c.links[gate]+lost),
		ip(fmt.Sprintf("-n %s neigh replace %s dev eth%d"+lost, c.space, c.hosts[gate], gate)))
}

func (c *cables) mend(gate int) error {
	return errors.Join(ip("neigh del "+other(c.hosts[gate])+" dev "+c.links[gate]),
		ip(fmt.Sprintf("-n %s neigh del %s dev eth%d", c.space, c.hosts[gate], gate)))
}

func (c *cables) clear() {
	if c.space != "" {
		_ = ip("netns del " + c.space)
		for _, link := range c.links {
			_ = ip("link del " + link) // if its other end has not taken it along
		}
	}
}

// dial connects from where the clients are.
func (c *cables) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if c.space == "" {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	runtime.LockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, err
	}
	defer here.Close()
	there, err := os.Open("/run/netns/" + c.space)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
		return nil, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // the thread can do nothing else
	}
	runtime.UnlockOSThread()
	return conn, err
}

func ip(line string) error {
	if out, err := exec.Command("ip", strings.Fields(line)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", line, err, out)
	}
	return nil
}
