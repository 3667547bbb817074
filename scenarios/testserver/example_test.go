package testserver_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

// A test of your own handler starts a server with it, logs in, asks, and looks at the log.
func Example() {
	upper := server.HandlerFunc(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
		return protocol.Reply{Text: strings.ToUpper(r.Argument)}, nil
	})
	s, err := testserver.Start(func(s *testserver.Server) { s.Handler = upper })
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	alice, err := s.Dialer().Dial(ctx, s.Addr, testserver.Credentials("alice"))
	if err != nil {
		log.Fatal(err)
	}
	reply, err := alice.Do(ctx, protocol.Request{Verb: "UPPER", Argument: "hello"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Code, reply.Text)
	if err := alice.Quit(ctx); err != nil {
		log.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		log.Fatal(err)
	}
	for _, r := range s.Log.Records("request") {
		fmt.Println(r["n"], r["verb"], r["code"])
	}
	// Output:
	// 250 HELLO
	// 1 UPPER 250
	// 2 QUIT 221
}

// What no client should say goes line by line.
func ExampleConn() {
	s, err := testserver.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer s.Stop()
	c, err := s.Connect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := c.Send("NOOP", "OPEN", "QUIT"); err != nil {
		log.Fatal(err)
	}
	for line, err := c.Line(); ; line, err = c.Line() {
		if err == io.EOF { // and not io.ErrUnexpectedEOF: it said close_notify
			break
		} else if err != nil {
			log.Fatal(err)
		}
		fmt.Println(line)
	}
	// Output:
	// 220 sallyport sallyport/1 ready
	// 250 ok
	// 530 login-required log in with AUTH first
	// 221 bye
}
