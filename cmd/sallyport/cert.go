package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sallyport/sallyport/server/certs"
)

func certCommand() *cobra.Command {
	return group(&cobra.Command{Use: "cert", Short: "Make a certificate for other names"}, certNewCommand())
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
