package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
)

// layHop puts a hop before the server that can be frozen: then both TCP connections stay open, and nothing passes.
func (c *cut) layHop(ctx context.Context) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	frozen := make(chan struct{})
	ctx, cancel := context.WithCancel(ctx)
	c.whenCleared = append(c.whenCleared, cancel)
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	go func() {
		near, err := listener.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", c.nextAddr)
		if err != nil {
			return
		}
		context.AfterFunc(ctx, func() { abort(near); abort(far) })
		go passUntil(ctx, frozen, near, far)
		passUntil(ctx, frozen, far, near)
	}()
	c.addr, c.do = listener.Addr().String(), func() error { close(frozen); return nil }
	return nil
}

// passUntil passes bytes until the hop is frozen.
func passUntil(ctx context.Context, frozen <-chan struct{}, dst, src net.Conn) {
	for buf := make([]byte, 4<<10); ; {
		n, err := src.Read(buf)
		select {
		case <-frozen:
			<-ctx.Done()
			return
		default:
		}
		if err != nil {
			return
		}
		_, _ = dst.Write(buf[:n])
	}
}

// canPull reports whether this process can make network namespaces.
func canPull() bool {
	_, err := exec.LookPath("ip")
	return err == nil && os.Geteuid() == 0
}

// layCable puts server and alice into network namespaces with a cable between them. From the cut on
// both send to an Ethernet address that nobody has: no packet arrives, and neither kernel notices. bob is where the server is.
func (c *cut) layCable(ctx context.Context) error {
	const server, client = "10.77.0.1", "10.77.0.2"
	there, here := fmt.Sprintf("sallyport-%d-%ds", os.Getpid(), c.number), fmt.Sprintf("sallyport-%d-%dc", os.Getpid(), c.number)
	c.inServer, c.inClient = []string{"ip", "netns", "exec", there}, []string{"ip", "netns", "exec", here}
	c.addr, c.nextAddr = server+":7443", "127.0.0.1:7443"
	c.do = func() error {
		lost := []string{"dev", "eth0", "nud", "permanent", "lladdr", "02:00:00:00:00:99"}
		return errors.Join(ip(ctx, append([]string{"-n", there, "neigh", "replace", client}, lost...)...),
			ip(ctx, append([]string{"-n", here, "neigh", "replace", server}, lost...)...))
	}
	c.whenCleared = append(c.whenCleared, func() {
		_ = errors.Join(ip(context.Background(), "netns", "del", there), ip(context.Background(), "netns", "del", here))
	})
	for _, line := range []string{
		"netns add " + there, "netns add " + here,
		"link add eth0 netns " + there + " type veth peer name eth0 netns " + here,
		"-n " + there + " addr add " + server + "/30 dev eth0", "-n " + here + " addr add " + client + "/30 dev eth0",
		"-n " + there + " link set lo up", "-n " + there + " link set eth0 up", "-n " + here + " link set eth0 up",
	} {
		if err := ip(ctx, strings.Fields(line)...); err != nil {
			return err
		}
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
