package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/scenarios/probe"
	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/certs"
)

type probeFlags struct {
	config   probe.Config
	only     string
	accept   string
	password string
	stdin    bool
	ca       string
	accounts string
	list     bool
	reports  reportFlags[*probe.Summary, []probe.Result]
}

func probeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "probe server|client URL",
		Short: "Judge the SCRAM login of another server or client",
		Long: `Judge the SCRAM login of another server or client: each case is a login with one
fault, and the other side must refuse it. Sallyport tests itself with the same cases
(RFC 5802, RFC 7677, RFC 9266).

URL names a protocol and an address: ` + strings.Join(probe.Dialects(), ", ") + `.
With stdio: a command takes the place of the connection; see docs/probe.md.

The verdicts are pass; fail (against a MUST); non-strict (against a SHOULD, or more
lenient than the grammar); info (against a rule of this project only); skip.

Exit codes: 0 nothing failed, 1 something failed or the run was interrupted, 2 wrong
usage, 3 the peer was not reached or COMMAND can't be started, 4 the login without
a fault fails.`,
	}
	return group(cmd, probeServerCommand(), probeClientCommand())
}

func probeServerCommand() *cobra.Command {
	f := &probeFlags{config: probe.Config{Role: probe.ServerRole}}
	cmd := &cobra.Command{
		Use:   "server URL [--user NAME] [-- COMMAND...]",
		Short: "Judge a server",
		Long: `Judge the SCRAM login of a server, with a throw-away account of it. Most cases
are logins that fail: turn off any block of addresses after failed logins.
The password is used for proofs and never sent. TLS is always verified.

For a server on another machine repeat its name with --i-may-test.

With stdio: COMMAND is the server, over its standard input and output. It is started
for each login, and gets the account in its environment; see docs/probe.md.`,
		Example: `  sallyport probe server sallyport://localhost:7443 --ca ca.pem --user probe --password-file pw
  sallyport probe server smtp://localhost:587 --user probe --password-file pw --level all
  sallyport probe server stdio: -- python3 examples/probe/server.py`,
		Args: f.wantArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.define(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.config.Account.Name, "user", "", "`name` of a throw-away account")
	flags.StringVar(&f.password, "password-file", "", "`file` with the password of --user")
	flags.BoolVar(&f.stdin, "password-stdin", false, "read the password of --user from standard input")
	flags.StringVar(&f.accounts, "accounts", "", "`file` with further accounts, NAME:PASSWORD in each line, for cases that need them")
	flags.StringVar(&f.ca, "ca", "", "`file` with the certificates to trust (default: those of the system)")
	flags.StringVar(&f.config.MayTest, "i-may-test", "", "`host` of the URL once more, to confirm that you may test a server on another machine")
	return cmd
}

func probeClientCommand() *cobra.Command {
	f := &probeFlags{config: probe.Config{Role: probe.ClientRole}}
	cmd := &cobra.Command{
		Use:   "client URL -- COMMAND...",
		Short: "Judge a client",
		Long: `Judge the SCRAM login of a client: serve on URL, which is on the loopback, and run
COMMAND once for each case. COMMAND logs in, and ends with exit code 0 if it believes
that it is logged in. Port 0 chooses a free port.

These words in COMMAND are replaced: {host} {port} {ca} {user} {password-file} and
{password}, which other users can see in the list of processes. Any other {word} of
letters, - and _ is wrong usage, because it may be a typing error. If COMMAND itself
needs one, write { word } with spaces. ${x}, %{x}, {} and JSON stay as they are.

With stdio: COMMAND is the client, over its standard input and output. It gets the
account in its environment, and nothing in COMMAND is replaced; see docs/probe.md.`,
		Example: `  sallyport probe client smtps://127.0.0.1:0 -- ./mail-client --server {host}:{port} --ca {ca} \
      --user {user} --password-file {password-file}
  sallyport probe client stdio: -- python3 examples/probe/client.py`,
		Args: f.wantArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd, args) },
	}
	f.define(cmd)
	return cmd
}

func (f *probeFlags) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.config.Mechanism, "mechanism", "", "SCRAM-SHA-256, SCRAM-SHA-512 or SCRAM-SHA-1, each also tested with -PLUS (default: the first of them that a server offers)")
	flags.StringVar(&f.only, "run", "", "only the cases whose name matches this `regexp`")
	flags.StringVar(&f.config.Level, "level", "should", "which rules: must, should (with the grammar), or all (with limits and advice of this project)")
	flags.StringVar(&f.accept, "accept", "", "`file` of known deviations, NAME: REASON in each line; NAME is a case as it is printed, or a rule with its section as in \"must RFC 5802 §5.1\"")
	flags.BoolVar(&f.list, "list", false, "list the cases instead of playing them")
	flags.DurationVar(&f.config.Timeout, "timeout", 10*time.Second, "how long to wait for each answer")
	f.reports = defineReportFlags(flags, probe.JSON, probe.JUnit, probe.HTML)
}

func (f *probeFlags) run(cmd *cobra.Command, args []string) error {
	if err := f.complete(cmd, args); err != nil {
		return err
	}
	p, err := probe.New(f.config)
	if errors.Is(err, probe.ErrUsage) {
		return usagef("%v", err)
	} else if err != nil {
		return err
	}
	if f.list {
		return listProbe(p)
	}
	if err := f.reports.open(); err != nil {
		return wrongFile(err)
	}
	if names := p.Unneeded(); len(names) > 0 {
		fmt.Fprintf(os.Stderr, "warning: no case needs these accounts of %s: %q; --list --level all prints the names\n", fileName(f.accounts), names)
	}
	ctx, cancel := notifyContext()
	defer cancel()
	p.Summary.Command = aloneProbe(cmd, args)
	return f.play(ctx, cmd, p, newProbePrinter(p))
}

// complete fills in the configuration, and reads the files that the flags name.
func (f *probeFlags) complete(cmd *cobra.Command, args []string) (err error) {
	c := &f.config
	if f.list {
		return f.completeList(args)
	}
	if c.Target, err = probe.ParseTarget(args[0]); err != nil {
		return usagef("%v", err)
	}
	c.Command, c.Stderr = args[1:], os.Stderr
	if c.Target.Dialect != "stdio" {
		c.Stderr = nil // the verdict quotes its last line
	}
	if len(c.Command) > 0 && cmd.ArgsLenAtDash() != 1 {
		return usagef("%q: write -- before the command", c.Command[0])
	}
	if err := f.compileOnly(); err != nil {
		return err
	}
	if c.Target.Dialect == "stdio" {
		for _, name := range []string{"user", "password-file", "password-stdin", "accounts", "ca", "i-may-test"} {
			if cmd.Flags().Changed(name) {
				return usagef("--%s has no use with stdio: the prober chooses the account of each login, and there is no network", name)
			}
		}
	}
	if c.Timeout <= 0 {
		return usagef("--timeout must be more than 0")
	}
	if err := f.readAccepted(); err != nil {
		return err
	}
	return wrongFile(f.readSecrets())
}

// wrongFile turns an error of a file that a flag names into one of usage.
func wrongFile(err error) error {
	if err == nil {
		return nil
	}
	return usageError{message(err)}
}

// wantArgs demands n arguments, but none to list the cases.
func (f *probeFlags) wantArgs(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if f.list {
			return nil
		}
		return cobra.MinimumNArgs(n)(cmd, args)
	}
}

// completeList fills in the configuration to list the cases, which needs neither a peer nor an account.
func (f *probeFlags) completeList(args []string) (err error) {
	c := &f.config
	if c.Target, err = probe.ParseTarget(append(args, "sallyport://127.0.0.1:0")[0]); err != nil {
		return usagef("%v", err)
	}
	if c.Role == probe.ClientRole || c.Target.Dialect == "stdio" {
		c.Command = []string{"none"}
	}
	c.Account = probe.Account{Name: "nobody", Password: "none"}
	if err = f.compileOnly(); err != nil {
		return err
	}
	return f.readAccepted()
}

func (f *probeFlags) compileOnly() (err error) {
	if f.only == "" {
		return nil
	}
	if f.config.Only, err = regexp.Compile(f.only); err != nil {
		return usagef("--run: %v", err)
	}
	return nil
}

func (f *probeFlags) readAccepted() error {
	if f.accept == "" {
		return nil
	}
	file, err := os.Open(f.accept)
	if err != nil {
		return wrongFile(err)
	}
	defer file.Close()
	if f.config.Accepted, err = probe.ReadAccepted(file); err != nil {
		return usagef("%s: %v", fileName(f.accept), err)
	}
	f.config.Accepted.Name = fileName(f.accept)
	return nil
}

func (f *probeFlags) readSecrets() (err error) {
	f.config.Account.Password, err = givenPassword(f.stdin, f.password)
	if err == nil && f.ca != "" {
		f.config.Roots, err = certs.Pool(fileName(f.ca))
	}
	if err == nil && f.accounts != "" {
		f.config.Others, err = readAccounts(f.accounts)
	}
	return err
}

func readAccounts(name string) (all []probe.Account, err error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	warnReadable(file)
	text, err := io.ReadAll(io.LimitReader(file, 1<<20))
	if err != nil {
		return nil, err
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		n++
		user, password, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if !ok {
			return nil, usagef("%s: line %d is not of the form NAME:PASSWORD", fileName(name), n)
		}
		all = append(all, probe.Account{Name: user, Password: password})
	}
	return all, nil
}

// play plays all cases, prints the results, and writes the reports. After an interruption the reports have the cases
// until then.
func (f *probeFlags) play(ctx context.Context, cmd *cobra.Command, p *probe.Prober, out *probePrinter) error {
	var all []probe.Result
	var ended error
	for r, err := range p.Run(ctx) {
		if ended = err; err != nil {
			break
		}
		out.result(&r)
		all = append(all, r)
	}
	out.summary(all)
	err := f.reports.write(&p.Summary, all)
	switch {
	case ended != nil:
		if err != nil {
			printError(cmd, err)
		}
		return probeError(cmd, ended)
	case err != nil:
		return err
	case out.failed > 0:
		return statusError{exitFailed}
	}
	return nil
}

// probeError gives an error the exit code of probe.
func probeError(cmd *cobra.Command, err error) error {
	code := exitFailed
	switch {
	case errors.Is(err, probe.ErrNotReached):
		code = exitConnection
	case errors.Is(err, probe.ErrControl):
		code = exitLogin
	case probe.NotAllowed(err):
		return usagef("%v", err)
	}
	printError(cmd, err)
	return statusError{code}
}

// printError prints an error on one line, even if it has line ends from the peer.
func printError(cmd *cobra.Command, err error) {
	fmt.Fprintf(os.Stderr, "%s: %s\n", cmd.CommandPath(), show.Printable(message(err)))
}

// aloneProbe returns a function that returns the command line for the cases that match a regular expression.
func aloneProbe(cmd *cobra.Command, args []string) func(pattern string) string {
	line := quoteArg(os.Args[0]) + strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()) + " " + quoteArg(args[0])
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "user", "password-file", "ca", "accounts", "mechanism", "timeout", "i-may-test":
			line += " --" + flag.Name + " " + quoteArg(flag.Value.String())
		}
	})
	tail := ""
	if len(args) > 1 {
		tail = " --"
		for _, arg := range args[1:] {
			tail += " " + quoteArg(arg)
		}
	}
	return func(pattern string) string {
		return line + " --level all --run " + quoteArg(pattern) + tail
	}
}
