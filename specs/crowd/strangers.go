package main

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// from returns a dialer that connects from 127.0.NETWORK.HOST.
func from(network, host int) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, byte(network), byte(host))}}
}

// everyone calls do again and again, for each of n strangers.
func everyone(ctx context.Context, n int, do func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				do(i)
			}
		})
	}
	all.Wait()
}

// crowd is 1,000 idle strangers from 100 addresses, who come back as they are dropped, 500 who drip from 100
// others, and 2,000 wrong passwords a minute from 20 more.
func crowd(ctx context.Context, t target) {
	var all sync.WaitGroup
	all.Go(func() {
		everyone(ctx, 1000, func(i int) {
			connected(ctx, t, from(1, 1+i%100), func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
		})
	})
	all.Go(func() {
		everyone(ctx, 500, func(i int) {
			connected(ctx, t, from(2, 1+i%100), func(conn net.Conn) { drip(ctx, conn) })
		})
	})
	all.Go(func() { guess(ctx, t) })
	all.Wait()
}

// connected connects and calls do. The end of the context closes the connection.
func connected(ctx context.Context, t target, d *net.Dialer, do func(net.Conn)) {
	conn, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		time.Sleep(10 * time.Millisecond)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	do(conn)
}

// drip sends the beginning of a ClientHello, a byte a second.
func drip(ctx context.Context, conn net.Conn) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = io.Copy(io.Discard, conn)
	}()
	for _, b := range append([]byte{22, 3, 1, 2, 0, 1, 0, 1, 252}, make([]byte, 100)...) {
		select {
		case <-gone:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := conn.Write([]byte{b}); err != nil {
			return
		}
	}
}

func guess(ctx context.Context, t target) {
	tick := time.NewTicker(time.Minute / 2000)
	defer tick.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all.Go(func() {
			limited, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if s, err := t.login(limited, from(3, 1+i%20), "a guess"); err == nil {
				s.close()
			}
		})
	}
}

// The floods come from one address.
const flooders = 16

func commandFlood(ctx context.Context, t target) {
	flood := strings.Repeat("NOOP\r\n", 1000)
	everyone(ctx, flooders, func(int) {
		connected(ctx, t, from(4, 1), func(conn net.Conn) {
			over := tls.Client(conn, t.tls)
			go func() {
				for {
					if _, err := io.WriteString(over, flood); err != nil {
						return
					}
				}
			}()
			_, _ = io.Copy(io.Discard, over)
		})
	})
}

// connectionFlood connects beyond the limit of one source.
func connectionFlood(ctx context.Context, t target) {
	everyone(ctx, 4*flooders, func(int) {
		connected(ctx, t, from(5, 1), func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	})
}

func handshakeFlood(ctx context.Context, t target) {
	everyone(ctx, flooders, func(int) {
		connected(ctx, t, from(6, 1), func(conn net.Conn) { _ = tls.Client(conn, t.tls).HandshakeContext(ctx) })
	})
}
