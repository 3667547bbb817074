package bench

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

const (
	// strangersPerSource is what the server lets in by default.
	strangersPerSource = 16
	// deadline is when the server sends a stranger away by default; renewal is when
	// new ones take the place of the old ones.
	deadline, renewal = 10 * time.Second, 5 * time.Second
)

// lobbies are logins with cached keys, timed as in Login, while so many strangers
// who have shaken hands say nothing. Limits.Lobby is raised for them; they come
// from many addresses of 127.0.0.0/8, and are renewed before their deadline.
func lobbies(idle ...int) Group {
	// 12 turns are 2,000 logins where one takes up to 4 ms.
	g := Group{Name: "Lobby", Rounds: 12, Block: 700 * time.Millisecond}
	for _, n := range idle {
		g.Subjects = append(g.Subjects, Subject{
			Name: fmt.Sprintf("idle=%d/of=sallyport", n), Start: func(t T) *Rig { return lobbyRig(t, n) },
		})
	}
	return g
}

func lobbyRig(t T, idle int) *Rig {
	t.Helper()
	h := serve(t, logOf(t, "file"), func(s *server.Server) { s.Limits.Lobby = idle + 256 })
	s := &strangers{addr: h.Addr, conns: make([]net.Conn, idle), others: runtime.NumGoroutine()}
	v := visitorOf(t, h, scram.MinIterations, new(scram.KeyCache))
	t.Cleanup(func() { _ = s.leave() })
	rig := &Rig{Before: s.come, After: s.leave, Step: func() (time.Duration, error) {
		if err := s.renew(); err != nil {
			return 0, err
		}
		return v.login()
	}}
	if idle > 0 {
		rig.Metrics = func(int) map[string]float64 { return map[string]float64{"B/stranger": s.memory} }
	}
	return rig
}

// strangers are connections that have shaken hands.
type strangers struct {
	addr   string
	conns  []net.Conn
	others int // goroutines, without strangers
	since  time.Time
	memory float64 // for each
}

// come opens them all, and notes how much more memory is in use than before, as
// the collector leaves it.
//
// It is the server's but for less than 1 KiB each, which counts against it: once
// the greeting is read, the client's side of TLS is dropped, and just its socket
// is kept.
func (s *strangers) come() error {
	before := inUse()
	if err := s.open(); err != nil {
		return err
	}
	s.memory = (inUse() - before) / float64(max(1, len(s.conns)))
	return nil
}

// inUse is the memory that the process uses for its heap and stacks.
func inUse() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

func (s *strangers) open() error {
	const workers = 4
	s.since, s.others = time.Now(), runtime.NumGoroutine()
	config, failed := clientTLS(harness.ECDSA), make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := w; i < len(s.conns) && failed[w] == nil; i += workers {
				s.conns[i], failed[w] = stranger(s.addr, i, config)
			}
		})
	}
	all.Wait()
	return errors.Join(failed...)
}

// stranger is the i-th.
func stranger(addr string, i int, config *tls.Config) (net.Conn, error) {
	source := i / strangersPerSource
	from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(source/250), byte(source%250+1))}
	raw, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, config)
	if err = c.Handshake(); err == nil {
		err = greeted(c)
	}
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	return raw, nil
}

// renew has others take their place in time.
func (s *strangers) renew() error {
	if len(s.conns) == 0 || time.Since(s.since) < renewal {
		return nil
	}
	if err := s.leave(); err != nil {
		return err
	}
	return s.come()
}

// leave closes them all, and fails where the server can have done it before.
func (s *strangers) leave() (err error) {
	if len(s.conns) > 0 && s.conns[0] != nil && time.Since(s.since) > deadline {
		err = errors.New("the strangers were late, and sent away")
	}
	for i, c := range s.conns {
		if c != nil {
			_ = c.Close()
		}
		s.conns[i] = nil
	}
	return errors.Join(err, settle(s.others))
}
