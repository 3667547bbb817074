package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

func certCommand() *cobra.Command {
	return group(&cobra.Command{Use: "cert", Short: "Show the certificate, or make one for other names"}, certNewCommand(), certShowCommand())
}

func certShowCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the certificates of the state directory, and how long they last",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			home, err := stateDir(dir)
			if err != nil {
				return err
			}
			paths := state.Paths{Dir: home}
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
			return nil
		},
	}
	addStateFlag(cmd, &dir)
	return cmd
}

func certNewCommand() *cobra.Command {
	var dir string
	var hosts []string
	cmd := &cobra.Command{
		Use:   "new --host NAME...",
		Short: "Sign a new server certificate with the private CA",
		Long: `Sign a new server certificate with the private CA of the state directory, for
the names and addresses under which clients reach the server; localhost,
127.0.0.1 and ::1 are always among them. A running server uses it after a
SIGHUP.`,
		Example: `  sallyport cert new --host rig.example.org --host 192.0.2.7`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if len(hosts) == 0 {
				return usagef("say with --host under which names and addresses clients reach the server")
			}
			home, err := prepare(dir)
			if err != nil {
				return err
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
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "DNS `name` or IP address; can be given again")
	return cmd
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
