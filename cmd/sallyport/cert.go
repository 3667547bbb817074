package main

import (
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

func certCommand() *cobra.Command {
	return group(&cobra.Command{Use: "cert", Short: "Show the CA and its pin, or make certificates for servers and clients"}, certNewCommand(), certShowCommand())
}

func certShowCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the CA, its pin, and how long the certificates last",
		Long: `Show the private CA of the state directory, which clients trust: its pin, for
--pin, and its certificate in PEM, for a file for --ca. Neither is secret, but
hand them on in a way in which no one else can change them. A file with the whole
output works with --ca too.`,
		Example: `  sallyport cert show
  sallyport cert show > rig-ca.pem`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := stateDir(dir)
			if err != nil {
				return err
			}
			return showCertificates(state.Paths{Dir: home})
		},
	}
	addStateFlag(cmd, &dir)
	return cmd
}

// showCertificates prints the pin of the CA, how long the certificates last, and the CA. Programs that read PEM
// ignore text before it (RFC 7468 §2).
func showCertificates(paths state.Paths) error {
	ca, err := certs.Read(paths.CA())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "ca %v\n", pin.Of(ca))
	for _, file := range []string{paths.Cert(), paths.CA()} {
		leaf, err := certs.Read(file)
		if err != nil {
			return err
		}
		for _, ip := range leaf.IPAddresses {
			leaf.DNSNames = append(leaf.DNSNames, ip.String())
		}
		names := strings.Join(append(leaf.DNSNames, leaf.Subject.CommonName)[:max(len(leaf.DNSNames), 1)], ", ")
		fmt.Fprintf(stdout, "%s: %s: %s\n", file, show.Printable(names), lifetime(leaf.NotAfter, time.Now()))
	}
	return pem.Encode(stdout, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})
}

func certNewCommand() *cobra.Command {
	var dir, user string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "new --host NAME... | --client NAME",
		Short: "Sign a certificate with the private CA, for the server or for a client",
		Long: `Sign a certificate with the private CA of the state directory.

With --host it is the server's, for the names and addresses under which clients
reach the server; localhost, 127.0.0.1 and ::1 are always among them. A running
server uses it after a SIGHUP.

With --client it is a user's second factor, for a server that runs with
--client-ca and the CA of this directory, ca.pem. It is valid for a year. Give the
user both files; each command that connects takes them with --cert and --key.
A certificate can't be taken back before its end: remove the user, or make a new
CA and new certificates.`,
		Example: `  sallyport cert new --host rig.example.org --host 192.0.2.7
  sallyport cert new --client alice`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			forClient := cmd.Flags().Changed("client")
			switch {
			case forClient && len(hosts) > 0:
				return usagef("--host is for the server's certificate and --client for a user's: make one after the other")
			case !forClient && len(hosts) == 0:
				return usagef("say with --host under which names and addresses clients reach the server, or with --client which user logs in")
			}
			for _, host := range hosts {
				if err := certs.CheckHost(host); err != nil {
					return usagef("--host: %s", message(err))
				}
			}
			home, err := prepare(dir)
			if err != nil {
				return err
			}
			if forClient {
				return newClientCertificate(home, dir, user)
			}
			names := withLocal(hosts)
			if err := certs.Issue(home.Dir, names, time.Now()); err != nil {
				return err
			}
			fmt.Fprintf(os.Stderr, "wrote %s for %s; a running server uses it after a SIGHUP; clients trust %s\n",
				home.Cert(), strings.Join(names, ", "), home.CA())
			return nil
		},
	}
	addStateFlag(cmd, &dir)
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "DNS `name` or IP address of the server; can be given again")
	cmd.Flags().StringVar(&user, "client", "", "`name` of the user whose client certificate it is")
	return cmd
}

func newClientCertificate(home state.State, stateFlag, user string) error {
	certFile, keyFile, err := certs.IssueClient(home.Dir, user, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote %s and its key %s for %s; serve with --client-ca %s, and connect with --cert and --key\n",
		certFile, keyFile, show.Printable(user), home.CA())
	if exists, certain, _ := known(fileUsers{home, stateFlag}, user); certain && !exists {
		fmt.Fprintf(os.Stderr, "warning: there is no user %s yet; add one with: %s\n",
			show.Printable(user), commandLine("user add "+quoteArg(user), stateFlag, ""))
	}
	return nil
}

// withLocal adds the names by which clients on the same machine reach the
// server. Without them a certificate for other names would lock them out.
func withLocal(hosts []string) []string {
	names := slices.Clone(hosts)
	for _, local := range []string{"localhost", "127.0.0.1", "::1"} {
		if !slices.Contains(names, local) {
			names = append(names, local)
		}
	}
	return names
}
