package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

func (f *serveFlags) checkAddress() error {
	_, port, err := net.SplitHostPort(f.listen)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return usagef("--listen is HOST:PORT or :PORT: %v", err)
	}
	return nil
}

// listen listens. If the port is in use, the error says how to find out by whom.
func listen(address string) (net.Listener, error) {
	// The server sets keep-alive itself, once.
	config := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	l, err := config.Listen(context.Background(), "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		_, port, _ := net.SplitHostPort(address)
		return nil, fmt.Errorf("%s is in use: 'ss -ltnp sport = :%s' says by whom, or choose another with --listen", address, port)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return nil, worded{err, fmt.Sprintf("can't listen on %s: %s", address, networkReason(op))}
	}
	return l, err
}

// nextStep returns the command that a person types next in another terminal.
func nextStep(paths state.Paths, given, addr string) string {
	all, _ := users.List(paths.Users())
	if len(all) == 0 {
		return "next, in another terminal: " + commandLine("user add alice", given, "")
	}
	return "next, in another terminal: " + commandLine("connect --user "+quoteArg(all[0].Name), given, addr)
}
