// Command peer plays a server or a client that misbehaves at one message, for sallyport probe:
//
//	peer server HOW AT
//	peer client HOW AT
//	peer smtp|sallyport|postgres HOW AT HOST PORT CA USER PASSWORDFILE
//
// The first two speak the dialect stdio.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/specs/hostile"
)

func main() {
	at, err := strconv.Atoi(os.Args[3])
	if err == nil {
		err = play(hostile.Fault{How: os.Args[2], At: at})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func play(fault hostile.Fault) error {
	user, password := os.Getenv("SALLYPORT_USER"), os.Getenv("SALLYPORT_PASSWORD")
	switch os.Args[1] {
	case "server":
		v, err := scram.NewVerifier(password, []byte("salt of the server"), scram.MinIterations)
		if err != nil {
			return err
		}
		s := hostile.Server{Dialect: "stdio", Fault: fault, Lookup: func(name string) (scram.Verifier, bool) { return v, name == user }}
		return s.One(pipes{})
	case "client":
		c := hostile.Client{Dialect: "stdio", Fault: fault, User: user, Password: password}
		return c.LogIn(pipes{})
	}
	return dial(fault, os.Args[4:])
}

func dial(fault hostile.Fault, args []string) error {
	ca, err := os.ReadFile(args[2])
	password, errPassword := os.ReadFile(args[4])
	if err := errors.Join(err, errPassword); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	c := hostile.Client{
		Dialect: os.Args[1], Fault: fault, User: args[3], Password: strings.TrimSpace(string(password)),
		TLS: &tls.Config{RootCAs: roots, ServerName: args[0]},
	}
	return c.Dial(net.JoinHostPort(args[0], args[1]))
}

// pipes are standard input and output.
type pipes struct{}

func (pipes) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (pipes) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (pipes) Close() error                { return errors.Join(os.Stdin.Close(), os.Stdout.Close()) }
