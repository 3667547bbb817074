package scram_test

import (
	"context"
	"fmt"

	"github.com/sallyport/sallyport/protocol/scram"
)

// A whole login. The server stores a verifier in place of the password, and both ends bind the login
// to their TLS connection: export stands for the ExportKeyingMaterial of its tls.ConnectionState.
func Example() {
	export := func(label string, context []byte, length int) ([]byte, error) { return make([]byte, length), nil }

	// When the user gets a password.
	made, err := scram.NewVerifier("correct horse", nil, 0)
	check(err)
	stored := made.String()

	// At each login.
	verifier, err := scram.ParseVerifier(stored)
	check(err)
	nobody := scram.NewMock([]byte("32 random bytes, kept for ever.."), []scram.Verifier{verifier})
	binding, err := scram.TLSExporter(export)
	check(err)
	server := scram.NewServer(scram.ServerConfig{
		Mechanism: scram.SHA256Plus, PlusOffered: true, Bindings: []scram.ChannelBinding{binding},
		Lookup: func(name string) (scram.Verifier, bool) {
			mock := nobody.Verifier(name) // for known names too, to take equally long
			if name == "alice" {
				return verifier, true
			}
			return mock, false
		},
	})
	client, err := scram.NewClient(scram.ClientConfig{
		Username: "alice", Password: "correct horse", Mechanism: scram.SHA256Plus, Binding: binding,
	})
	check(err)

	clientFirst, err := client.First()
	check(err)
	serverFirst, err := server.First(clientFirst)
	check(err)
	clientFinal, err := client.Final(context.Background(), serverFirst)
	check(err)
	serverFinal, err := server.Final(clientFinal)
	check(err)
	fmt.Println("the server knows", server.Username(), "by", server.Binding())
	check(client.Verify(serverFinal)) // before this the client must not believe that it is logged in
	// Output:
	// the server knows alice by tls-exporter
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
