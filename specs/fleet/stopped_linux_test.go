package fleet

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
)

// A gate that is stopped for longer than its lease lets it write, writes nothing more when it goes on: its kernel has
// what the client has sent meanwhile. The lease is still there then, so only the clock can tell.
func TestStoppedGate(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	device, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer device.Close()
	e := startEtcd(t)
	e.addAlice()
	gate := e.serve(filepath.Join(t.TempDir(), "gate"), "--rig", "scope", "--fleet-seat", "--users", "fleet", "--backend", "tcp:"+device.Addr().String())
	probe, err := device.Accept() // serve looks whether the backend is there
	if err != nil {
		t.Fatal(err)
	}
	_ = probe.Close()
	alice := gate.streams(ctx)
	guarded, err := device.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer guarded.Close()
	_ = guarded.SetDeadline(time.Now().Add(patience))
	before := make([]byte, 6)
	if _, err := alice.Write([]byte("before")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(guarded, before); err != nil || string(before) != "before" {
		t.Fatalf("%q, %v", before, err)
	}

	gate.signal(syscall.SIGSTOP, "T")
	<-time.After(10 * time.Second) // the lease, less 5 s
	if _, err := alice.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	gate.signal(syscall.SIGCONT, "SR")
	if late, err := io.ReadAll(guarded); len(late) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the device gets %q (%v)", late, err)
	}
	_, err = io.Copy(io.Discard, alice)
	for err == nil { // the octets that it could not write
		_, err = alice.Write([]byte("x"))
	}
	if !strings.Contains(err.Error(), "this gate was stopped for 1") {
		t.Error("the client does not read what has happened:", err)
	}
}

// streams opens a raw stream to the backend, as alice, until ctx ends.
func (s *served) streams(ctx context.Context) *stream.Stream {
	s.t.Helper()
	ca, err := os.ReadFile(filepath.Join(s.state, "ca.pem"))
	if err != nil {
		s.t.Fatal(err)
	}
	trust := &tls.Config{RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM(ca)
	dialer := client.Dialer{TLSConfig: trust}
	c, err := dialer.Dial(ctx, s.addr, client.Credentials{Username: "alice", Password: "pw"})
	if err != nil {
		s.t.Fatal(err)
	}
	context.AfterFunc(ctx, func() { _ = c.Close() }) // so that no read hangs
	opened, err := stream.Open(ctx, c)
	if err != nil {
		s.t.Fatal(err)
	}
	return opened
}

// signal sends a signal to the gate, and waits until its process is in one of some states (proc(5)).
func (s *served) signal(sig syscall.Signal, states string) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
	eventually(s.t, "the state of the process: "+states, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
		_, rest, found := bytes.Cut(stat, []byte(") "))
		return err == nil && found && bytes.ContainsAny(rest[:1], states)
	})
}
