package peers

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/sallyport/sallyport/bench"
)

// postgresLogin is SCRAM-SHA-256-PLUS, which pgx is told to demand, and "select
// 1". PostgreSQL forks for each connection and reads its catalogue, and pgx keeps
// no keys, so that each login derives them: 4096 iterations, PostgreSQL's default.
// It is pgconn, the layer below pgx.Conn and its caches.
func (s *servers) postgresLogin(t bench.T) *bench.Rig {
	config, err := pgconn.ParseConfig("sslmode=verify-full channel_binding=require")
	if err != nil {
		t.Fatalf("postgres: %v", err)
	}
	host, port := s.endpoint(t, s.Postgres)
	config.ConnectTimeout = patience
	config.Host, config.Port, config.User, config.Password, config.Database = host, port, s.User, s.password, "postgres"
	// The one curve that PostgreSQL 15 takes unless told otherwise, and it can only be
	// told another of NIST's.
	config.TLSConfig, config.Fallbacks = s.tls(tls.CurveP256), nil
	ctx := context.Background()
	return bench.Visits(func() (io.Closer, error) {
		c, err := pgconn.ConnectConfig(ctx, config)
		if err != nil {
			return nil, err
		}
		return pgCloser{c}, errors.Join(c.Conn().SetDeadline(time.Now().Add(patience)), selectOne(ctx, c))
	})
}

func selectOne(ctx context.Context, c *pgconn.PgConn) error {
	results, err := c.Exec(ctx, "select 1").ReadAll()
	if err != nil {
		return err
	}
	if len(results) != 1 || len(results[0].Rows) != 1 || string(results[0].Rows[0][0]) != "1" {
		return errors.New("postgres: 1 is not 1")
	}
	return nil
}

type pgCloser struct{ *pgconn.PgConn }

// Close does what pgconn's does, and waits for the server's process to end.
func (c pgCloser) Close() error {
	bare, err := c.Hijack()
	if err != nil {
		return err
	}
	bare.Frontend.Send(&pgproto3.Terminate{})
	if err := bare.Frontend.Flush(); err != nil {
		return errors.Join(err, bare.Conn.Close())
	}
	return parted(bare.Conn)
}
