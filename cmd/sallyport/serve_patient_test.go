package main

import (
	"errors"
	"net"
	"testing"
	"time"
)

// TestPause sees that Pause waits for the connection that is between Accept and the server, and that those behind it
// stay in the kernel.
func TestPause(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := newPatientListener(inner.(*net.TCPListener))
	defer l.Close()
	socket, err := inner.(*net.TCPListener).File() // systemd has it too
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	dial()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	paused := make(chan struct{})
	go func() {
		l.Pause(t.Context())
		close(paused)
	}()
	<-l.pausing
	late := dial()
	select {
	case <-paused:
		t.Error("Pause did not wait for the connection that was accepted")
	case <-time.After(50 * time.Millisecond):
	}
	ended := make(chan error)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	<-paused
	_ = l.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	next, err := net.FileListener(socket)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	conn, err := next.Accept()
	if err != nil || conn.RemoteAddr().String() != late.LocalAddr().String() {
		t.Errorf("the next server gets %v, %v", conn, err)
	}
}
