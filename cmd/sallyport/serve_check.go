package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

// printCheck prints what serve would use, and returns the first error that would keep it from serving. It opens no
// port and no backend, and changes nothing.
func (f *serveFlags) printCheck(flags *pflag.FlagSet, paths state.Paths) error {
	missing, err := paths.Check(time.Now())
	if err != nil && (f.cert == "" || !errors.Is(err, state.ErrCertificates)) {
		return err
	}
	certificate, err := f.checkCertificate(paths)
	if err != nil {
		return err
	}
	known, err := f.describeUsers(paths)
	if err != nil {
		return err
	}
	if err := checkAppend(paths.Audit()); err != nil {
		return err
	}
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	line := func(what, text string) { fmt.Fprintf(table, "%s\t%s\n", what, text) }
	line("state", paths.Dir)
	line("log", paths.Audit())
	line("users", known)
	line("certificate", certificate)
	line("listen", f.address())
	if f.backend.spec != "" {
		line("backend", f.backend.spec+" (not opened)")
	}
	if len(missing) > 0 {
		line("to be made", strings.Join(missing, ", "))
	}
	for _, flag := range effective(flags) {
		value := flag.Value.String()
		if value == noLimit.String() {
			value = time.Duration(0).String()
		}
		line("--"+flag.Name, value+given(flag))
	}
	return table.Flush()
}

// checkCertificate describes the certificate that serve would use.
func (f *serveFlags) checkCertificate(paths state.Paths) (string, error) {
	cert, key := f.cert, f.key
	if cert == "" {
		cert, key = paths.Cert(), paths.Key()
	}
	pair, err := certs.Load(cert, key, time.Now())
	switch {
	case err == nil:
		return cert + ": " + lifetime(pair.Leaf.NotAfter, time.Now()), nil
	case f.cert == "": // Check has found that it can be made
		return cert + ": made at the start", nil
	}
	return "", err
}

// address returns where serve would listen.
func (f *serveFlags) address() string {
	switch {
	case f.inherited != nil:
		return f.inherited.Addr().String() + ", a socket of systemd"
	case f.listen == fromSystemd:
		return "the socket that systemd passes"
	}
	return f.listen
}

// checkAppend returns an error if a log exists and can't be written.
func checkAppend(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return file.Close()
}

// effective returns the flags with a value, without those that have lines of their own in printCheck.
func effective(flags *pflag.FlagSet) (all []*pflag.Flag) {
	flags.VisitAll(func(flag *pflag.Flag) {
		value := flag.Value.String()
		if value != "" && value != "[]" && !slices.Contains([]string{"help", "check", "state", "listen", "backend", "cert", "key"}, flag.Name) {
			all = append(all, flag)
		}
	})
	return all
}

// given marks a value that is not the default.
func given(flag *pflag.Flag) string {
	if flag.Changed {
		return " (given)"
	}
	return ""
}
