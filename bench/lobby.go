package bench

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

// strangersPerSource is how many the server lets in from one address by default.
const strangersPerSource = 16

// lobbies are logins with cached keys, as in Login, beside so many strangers that have shaken hands and
// say nothing. Limits.Lobby is raised for them. They come from many addresses of 127.0.0.0/8, and are
// renewed before the server sends them away, which it does after 10 s.
func lobbies(idle ...int) Group {
	g := Group{Name: "Lobby", Rounds: 12, Block: 700 * time.Millisecond}
	for _, n := range idle {
		g.Subjects = append(g.Subjects, Subject{
			Name: fmt.Sprintf("idle=%d/of=sallyport", n), Start: func(t T) *Rig { return lobby(t, n) },
		})
	}
	return g
}

func lobby(t T, idle int) *Rig {
	t.Helper()
	h := serve(t, fileLog(t), func(s *server.Server) { s.Limits.Lobby = idle + 256 })
	login := Connections(newUser(t, h, scram.MinIterations, new(scram.KeyCache)).open)
	s := &strangers{addr: h.Addr, conns: make([]net.Conn, idle), goroutines: runtime.NumGoroutine()}
	t.Cleanup(func() { _ = s.leave() })
	rig := &Rig{After: s.leave, Metrics: map[string]float64{}}
	rig.Before = func() error {
		before := memory()
		err := s.come()
		if idle > 0 {
			rig.Metrics["B/stranger"] = (memory() - before) / float64(idle)
		}
		return err
	}
	rig.Step = func() (time.Duration, error) {
		if time.Since(s.since) > 5*time.Second {
			if err := errors.Join(s.leave(), s.come()); err != nil {
				return 0, err
			}
		}
		return login.Step()
	}
	return rig
}

// memory is what heap and stacks take after a collection. Of a stranger it counts the server's side, and
// below 1 KiB of the client's, where only the socket is kept once the greeting is read.
func memory() float64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapInuse + m.StackInuse)
}

// strangers are connections that have shaken hands.
type strangers struct {
	addr  string
	conns []net.Conn
	since time.Time
	// goroutines are without the strangers'.
	goroutines int
}

func (s *strangers) come() error {
	s.since, s.goroutines = time.Now(), runtime.NumGoroutine()
	config := ClientTLS(testserver.ECDSA)
	for i := range s.conns {
		source := i / strangersPerSource
		from := &net.TCPAddr{IP: net.IPv4(127, 1, byte(source/250), byte(source%250+1))}
		c, err := connect(&net.Dialer{LocalAddr: from}, s.addr, config)
		if err != nil {
			return err
		}
		s.conns[i] = c.NetConn()
	}
	return nil
}

// leave closes all connections. It fails if the server may have done so before.
func (s *strangers) leave() (err error) {
	for i, c := range s.conns {
		if c == nil {
			continue
		}
		if _ = c.Close(); time.Since(s.since) > 10*time.Second {
			err = errors.New("bench: the server has sent the strangers away: they were renewed too late")
		}
		s.conns[i] = nil
	}
	return errors.Join(err, settle(s.goroutines))
}
