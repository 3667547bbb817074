package server_test

import (
	"context"
	"crypto/tls"
	"log"
	"net"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
	"github.com/sallyport/sallyport/server/users"
)

// A server with a verb of its own, on the state directory that the command uses as well.
func Example() {
	home, err := state.Prepare("state", nil, time.Now())
	if err != nil {
		log.Fatal(err)
	}
	pair, err := certs.Load(home.Cert(), home.Key(), time.Now())
	if err != nil {
		log.Fatal(err)
	}
	store, err := users.Open(home.Users(), home.MockSecret, func(err error) { log.Print(err) })
	if err != nil {
		log.Fatal(err)
	}
	journal, err := audit.Open(home.Audit(), audit.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer journal.Close()

	s := &server.Server{
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		Users:     store, NameKey: home.MockSecret, Audit: journal,
		Admission: server.Queue{Wait: time.Hour},
	}
	mux := s.Stock()
	mux.HandleFunc("VOLTS", func(_ context.Context, r *server.Request) (protocol.Reply, error) {
		volts, err := strconv.ParseFloat(r.Argument, 64)
		if err != nil || !(volts >= 0 && volts <= 5) { // not a number is neither
			return protocol.Reply{}, server.Refuse("between 0 and 5")
		}
		return protocol.Reply{Text: "set"}, nil
	})
	s.Handler = mux

	l, err := net.Listen("tcp", "127.0.0.1:7443")
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(s.Serve(l))
}
