package client_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"os"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// A client of a server with a private CA.
func Example() {
	ctx := context.Background()
	pem, err := os.ReadFile("rig-ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	dialer := client.Dialer{
		TLSConfig: &tls.Config{RootCAs: roots},
		OnNotice:  func(n client.Notice) { log.Print("waiting: ", n.Text) },
	}
	c, err := dialer.Dial(ctx, "rig.example.org:7443", client.Credentials{Username: "alice", Password: "..."})
	if errors.Is(err, client.ErrBusy) {
		log.Fatal("somebody else has the rig")
	} else if err != nil {
		log.Fatal(err)
	}
	defer c.Quit(ctx)

	reply, err := c.Do(ctx, protocol.Request{Verb: "ECHO", Argument: "hello"})
	if refused, ok := errors.AsType[*protocol.ReplyError](err); ok {
		log.Fatal("the rig said no: ", refused.Text)
	} else if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Text)
}
