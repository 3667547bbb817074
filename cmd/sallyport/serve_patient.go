package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// patientListener is a listener that can stop accepting before it is closed. A server that is closed while it accepts
// a connection would close that connection without a reply. The connections that are not accepted yet stay in the kernel,
// for the next server on the same socket.
type patientListener struct {
	*net.TCPListener
	pausing, idle, closed chan struct{}
	pause, settle, end    func() // close these channels, once
}

func newPatientListener(l *net.TCPListener) *patientListener {
	p := &patientListener{TCPListener: l, pausing: make(chan struct{}), idle: make(chan struct{}), closed: make(chan struct{})}
	p.pause = sync.OnceFunc(func() { close(p.pausing) })
	p.settle = sync.OnceFunc(func() { close(p.idle) })
	p.end = sync.OnceFunc(func() { close(p.closed) })
	return p
}

// Accept accepts a connection. After Pause it waits until Close.
func (p *patientListener) Accept() (net.Conn, error) {
	conn, err := p.TCPListener.Accept()
	select {
	case <-p.pausing:
	default:
		return conn, err
	}
	if err == nil {
		return conn, nil
	}
	p.settle() // the caller has done with the connection before
	<-p.closed
	return nil, net.ErrClosed
}

// Pause stops accepting, and returns when the server has taken in the last connection that was accepted, or when ctx
// ends.
func (p *patientListener) Pause(ctx context.Context) {
	p.pause()
	_ = p.SetDeadline(time.Unix(1, 0)) // ends an Accept that waits
	select {
	case <-p.idle:
	case <-p.closed:
	case <-ctx.Done():
	}
}

// Close closes this process's listener. The socket goes on listening if systemd has it open too.
func (p *patientListener) Close() error {
	p.end()
	return p.TCPListener.Close()
}

// letInTime bounds letIn.
const letInTime = time.Second

// letIn stops accepting, and waits until the login of each connection has ended, or letInTime. During its TLS
// handshake the server can't send it "421 shutdown". Without this wait a shutdown would just cut it off.
func (r *running) letIn(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, letInTime)
	defer cancel()
	r.listener.Pause(ctx)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.server.Status().Lobby > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
