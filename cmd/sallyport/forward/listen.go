package forward

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// ErrAddress means that an address has the wrong form.
var ErrAddress = errors.New("the address is HOST:PORT, PORT (on 127.0.0.1; 0 chooses one) or unix:PATH")

const (
	unixPrefix = "unix:"
	// maxUnixPath is the maximum length of the path of a Unix socket (unix(7), with its final NUL).
	maxUnixPath = 107
)

// listen listens on HOST:PORT, on PORT of 127.0.0.1, or on unix:PATH. Its errors say what to do.
func listen(addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		return listenUnix(path)
	}
	if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
		addr = ":" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return nil, fmt.Errorf("%q: %w", addr, ErrAddress)
	}
	if host == "" {
		addr = net.JoinHostPort("127.0.0.1", port)
	}
	l, err := net.Listen("tcp", addr)
	return l, reason(err, addr, "choose another port, or port 0 for a free one")
}

// reason puts the reason why there is no listener into words.
func reason(err error, addr, advice string) error {
	op, ofNetwork := errors.AsType[*net.OpError](err)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%s is in use, by another forward or another program: %s", addr, advice)
	case ofNetwork:
		err = op.Err
		if system, ok := errors.AsType[*os.SyscallError](err); ok {
			err = system.Err
		}
		return fmt.Errorf("can't listen on %s: %w", addr, err)
	}
	return err
}

// listenUnix listens on a Unix socket that only its user may connect to. It replaces a socket file that a
// dead process has left.
func listenUnix(path string) (net.Listener, error) {
	const advice = "choose another path"
	addr := unixPrefix + path
	switch {
	case path == "":
		return nil, fmt.Errorf("%q: %w", addr, ErrAddress)
	case path[0] == '@':
		return nil, fmt.Errorf("%q: %w; an abstract socket has no permissions", addr, ErrAddress)
	case len(path) > maxUnixPath:
		return nil, fmt.Errorf("%s: the path of a socket has at most %d bytes: %s", addr, maxUnixPath, advice)
	}
	if err := removeStale(path); err != nil {
		return nil, reason(err, addr, advice)
	}
	l, err := listenPrivately(path)
	return l, reason(err, addr, advice)
}

// removeStale removes a socket file if no process listens on it.
func removeStale(path string) error {
	old, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case old.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists and is not a socket: choose another path, or remove it", path)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	}
	if now, err := os.Lstat(path); err != nil || !os.SameFile(old, now) {
		return &net.OpError{Op: "listen", Err: syscall.EADDRINUSE}
	}
	return os.Remove(path)
}
