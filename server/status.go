package server

import (
	"cmp"
	"time"

	"github.com/sallyport/sallyport/protocol"
)

// Status is what the operator sees of a server at one moment.
type Status struct {
	// Started is when the server was first used.
	Started time.Time
	// Admission is the policy: queue, reject or takeover.
	Admission string
	// Holder is the client that has the seat. Nil means that the seat is free.
	Holder *Client
	// Waiting are the clients that wait for the seat. The first one is next.
	Waiting []Client
	// Watching is the number of clients that watch the backend.
	Watching int
	// Lobby is the number of connections before their login.
	Lobby int
	// Penalised is the number of sources that are kept out now, see package penalty.
	Penalised int
	// Served is the number of sessions so far.
	Served int
}

// Client is a client that has the seat, waits for it, or watches.
type Client struct {
	// User is the prepared name (RFC 4013), Conn the connection's id in the log, and Remote the client's address.
	User, Conn, Remote string
	// Since is when the client got the seat or, if it waits or watches, asked for that.
	Since time.Time
	// Active is when the holder was last active, by the rules of Limits.Idle. Requests is the number of its requests
	// so far, and Running the verb of the one that runs, empty for none.
	Active   time.Time
	Requests int
	Running  string
}

// Status returns the status. It waits for no handler, no client, and no disk.
func (s *Server) Status() Status {
	_ = s.init()
	conns, seated, watchers, served := s.seat.clients()
	now := Status{
		Started: s.started, Admission: s.seat.rules.Name, Served: served, Watching: len(watchers),
		Lobby: s.lobby.Len(), Penalised: s.penalties.Active(),
	}
	for _, c := range conns {
		client := c.describe(seated)
		if seated.IsZero() {
			now.Waiting = append(now.Waiting, client)
		} else {
			now.Holder, seated = &client, time.Time{}
		}
	}
	return now
}

// clients returns the connection that has the seat, if there is one, and those that wait for it. seated is when the
// first one got it, and zero if the seat is free.
func (s *seat) clients() (all []*conn, seated time.Time, watchers []*conn, served int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.holder != nil {
		all, seated = append(all, s.holder), s.since
	}
	return append(all, s.queue...), seated, s.watchers, s.served
}

// describe describes a connection that has had the seat since then, or that waits or watches if that is zero.
func (c *conn) describe(seated time.Time) Client {
	d := Client{User: c.user, Conn: c.id, Remote: c.raw.RemoteAddr().String(), Since: c.asked}
	if !seated.IsZero() {
		d.Since, d.Active, d.Requests = seated, c.lastActive(), int(c.requests.Load())
		if verb := c.running.Load(); verb != nil {
			d.Running = *verb
		}
	}
	return d
}

// stuckLog is how long an eviction waits for the log.
const stuckLog = 50 * time.Millisecond

// Evict makes clients that have the seat, wait for it or watch leave, with "421 evicted" and the reason, and returns them.
// who chooses them. Nil chooses the holder. Without a reason the client reads that the operator ended the session. by
// is who that is, for the log, which gets an operator record for each of them. Errors are ErrNobodySeated if
// who is nil and the seat is free, and for the reason those of Say.
func (s *Server) Evict(who func(Client) bool, by, reason string) (evicted []Client, err error) {
	reply := refusal(protocol.CodeClosing, protocol.KeywordEvicted, cmp.Or(reason, "the operator ended the session"))
	if err := checkLine(reply.Reply()); err != nil {
		return nil, err
	}
	conns, seated, watchers, _ := s.seat.clients()
	switch {
	case who != nil:
		conns = append(conns, watchers...)
	case seated.IsZero():
		return nil, ErrNobodySeated
	default:
		conns, who = conns[:1], func(Client) bool { return true }
	}
	for _, c := range conns {
		client := c.describe(seated)
		if seated = (time.Time{}); who(client) {
			s.noteEviction(c.id, by)
			c.evict(&eviction{reply, by})
			evicted = append(evicted, client)
		}
	}
	return evicted, nil
}

// noteEviction logs an eviction. It waits only a moment for the log, whose disk may be stuck, and not the rig.
func (s *Server) noteEviction(whom, by string) {
	noted := make(chan struct{})
	go func() {
		s.Audit.Info("operator", "").Str("deed", "evict").Str("by", by).Str("whom", whom).Send()
		close(noted)
	}()
	select {
	case <-noted:
	case <-time.After(stuckLog):
	}
}
