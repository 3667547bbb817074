package scenarios_test

import (
	"context"
	"fmt"
	"log"
	"strings"
	"testing/fstest"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
	"github.com/sallyport/sallyport/server"
)

// A test of your own handler. Its scenario is in the source here. To read those of a folder, use
// [scenarios.LoadPath].
func Example() {
	upper := server.HandlerFunc(func(_ context.Context, r *server.Request) (protocol.Reply, error) {
		if r.Verb != "UPPER" {
			return protocol.Reply{}, server.ErrUnknownVerb
		}
		return protocol.Reply{Text: strings.ToUpper(r.Argument)}, nil
	})
	all, err := scenarios.Load(fstest.MapFS{"upper.txtar": {Data: []byte(`
# UPPER answers in capitals, and only the holder of the seat.
alice login
alice ask UPPER hello
alice hears 250 '^HELLO$'
alice ask LOWER hello
alice hears 500 unknown-command
bob   connect
bob   reaches command
bob   sends 'UPPER hello'
bob   hears 530 login-required
log   counts 1 event=request verb=UPPER code=250
`[1:])}})
	if err != nil {
		log.Fatal(err)
	}
	suite := scenarios.Suite{Scenarios: all, Target: &scenarios.Target{
		Configure: func(s *server.Server) { s.Handler = upper },
	}}
	for r := range suite.Run(context.Background()) {
		fmt.Println(r.Name(), r.Status, r.Err)
	}
	// Output:
	// upper passed <nil>
}
