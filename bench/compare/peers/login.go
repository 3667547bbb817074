package peers

import (
	"errors"
	"io"
	"net"
	"os"
	"time"

	"github.com/sallyport/sallyport/bench"
)

// logins are connection, key exchange, authentication in both directions, one
// request and its reply: a login whose answer the server could only have said it
// would check would be no login. The product is bench's Login, with 4096 iterations,
// as PostgreSQL and Dovecot.
func (s *servers) logins(err error) bench.Group {
	g := bench.Group{Name: "PeerLogin", Rounds: 40, Block: 100 * time.Millisecond, Subjects: []bench.Subject{
		product("Login", "keys=cached/iterations=4096/of=sallyport", "of=sallyport"),
		product("Login", "keys=derived/iterations=4096/of=sallyport", "of=sallyport-derived"),
		{Name: "of=ssh", Start: sshLogin},
	}}
	switch {
	case err != nil:
		g.Subjects = append(g.Subjects, failing("of=servers", err))
	case s != nil:
		g.Subjects = append(g.Subjects,
			bench.Subject{Name: "of=postgres", Start: s.postgresLogin},
			bench.Subject{Name: "of=dovecot", Start: s.dovecotLogin},
			bench.Subject{Name: "of=openssh", Start: s.opensshLogin},
		)
	}
	return g
}

// parted waits for a server to end a connection as well, and with it what it does
// for it: the next step pays for nothing of the one before.
func parted(c net.Conn) error {
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}
