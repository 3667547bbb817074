//go:build unix

package control

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// socketDir returns a directory for sockets. That of T.TempDir may have too long a path.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "c")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func mustListen(t *testing.T, path string) net.Listener {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// dials reports whether a server listens on the path.
func dials(t *testing.T, path string) bool {
	t.Helper()
	c := Client{Path: path}
	conn, err := c.dial(t.Context(), "", "")
	if err == nil {
		_ = conn.Close()
	}
	return err == nil
}

func TestListenIsPrivateAndLeavesNothing(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "control.sock")
	l := mustListen(t, path)
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Fatal(info.Mode(), err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("left beside the socket: %v", entries)
	}
	if !dials(t, path) {
		t.Error("no server listens")
	}
	for range 2 {
		_ = l.Close()
		if entries, _ := os.ReadDir(dir); len(entries) != 0 {
			t.Errorf("left behind: %v", entries)
		}
	}
}

// A server that was killed has left its socket, and maybe the directory in which it was made.
func TestListenReplacesWhatADeadServerLeft(t *testing.T) {
	path := filepath.Join(socketDir(t), "control.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	_ = dead.Close()
	if err := os.MkdirAll(filepath.Join(path+".new", "s"), 0o755); err != nil {
		t.Fatal(err)
	}
	if dials(t, path) {
		t.Fatal("control: it is not dead")
	}
	mustListen(t, path)
	if !dials(t, path) {
		t.Error("no server listens")
	}
}

// A server that ends late must not remove the socket of the next one.
func TestCloseLeavesTheSocketOfAnother(t *testing.T) {
	path := filepath.Join(socketDir(t), "control.sock")
	first := mustListen(t, path)
	mustListen(t, path)
	if err := first.Close(); err != nil {
		t.Error(err)
	}
	if !dials(t, path) {
		t.Error("the second socket is gone")
	}
}

func TestListenKeepsFilesOfOthers(t *testing.T) {
	path := filepath.Join(socketDir(t), "control.sock")
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(path); !errors.Is(err, ErrPath) {
		t.Error(err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("%q", text)
	}
}

// The address of a Unix socket has room for 107 bytes.
func TestListenOnLongPath(t *testing.T) {
	dir := filepath.Join(socketDir(t), strings.Repeat("d", 120))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "control.sock")
	if _, err := net.Listen("unix", path); err == nil {
		t.Fatal("control: the path is not too long")
	}
	mustListen(t, path)
	if !dials(t, path) {
		t.Error("no server listens")
	}
	if info, err := os.Lstat(path); err != nil || info.Mode() != fs.ModeSocket|0o600 {
		t.Error(info, err)
	}
}
