package control

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
)

// maxPath is the maximum length of the path of a Unix socket on all systems (unix(7): 108 bytes on Linux, 104 on macOS,
// with a final NUL).
const maxPath = 103

// ErrPath means that a path can't be that of the control socket.
var ErrPath = errors.New("control: can't make the control socket")

// Listen makes the socket with mode 0600: in a private directory beside path, from where it takes the place of the
// socket of a server that has ended. The caller makes sure that no other server uses path. Close removes the socket.
func Listen(path string) (net.Listener, error) {
	if old, err := os.Lstat(path); err == nil && old.Mode().Type() != fs.ModeSocket {
		return nil, fmt.Errorf("%w: %s exists and is not a socket", ErrPath, path)
	}
	private := path + ".new"
	if err := os.RemoveAll(private); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPath, err)
	}
	if err := os.Mkdir(private, 0o700); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPath, err)
	}
	defer os.RemoveAll(private)
	l, err := listenIn(private)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrPath, err)
	}
	made := filepath.Join(private, "s")
	if err = os.Chmod(made, 0o600); err == nil {
		err = os.Rename(made, path)
	}
	s := &socket{UnixListener: l, path: path}
	if err == nil {
		s.info, err = os.Lstat(path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", ErrPath, err), l.Close())
	}
	return s, nil
}

// listenIn listens on the socket s in a directory.
func listenIn(dir string) (*net.UnixListener, error) {
	name, done, err := short(filepath.Join(dir, "s"))
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: name, Net: "unix"})
	if err == nil {
		l.SetUnlinkOnClose(false) // it is renamed
	}
	return l, err
}

// socket is a listener that removes its socket.
type socket struct {
	*net.UnixListener
	path string
	info fs.FileInfo
	once sync.Once
}

// Close closes the socket and removes it, unless another server has put its own there.
func (s *socket) Close() error {
	err := s.UnixListener.Close()
	s.once.Do(func() {
		if now, e := os.Lstat(s.path); e == nil && os.SameFile(now, s.info) {
			err = errors.Join(err, os.Remove(s.path))
		}
	})
	return err
}

// short returns a name of a socket that fits into the address of a Unix socket, until done. On Linux a path that is too
// long has a short name through a descriptor of its directory.
func short(path string) (name string, done func(), err error) {
	if len(path) <= maxPath {
		return path, func() {}, nil
	}
	if runtime.GOOS != "linux" {
		return "", nil, fmt.Errorf("the path %s is too long for a socket, which has at most %d bytes here: choose a state directory with a shorter path", path, maxPath)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	name = filepath.Join("/proc/self/fd", strconv.Itoa(int(dir.Fd())), filepath.Base(path))
	return name, func() { _ = dir.Close() }, nil
}
