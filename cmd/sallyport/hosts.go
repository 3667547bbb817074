package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/cmd/sallyport/hosts"
	"github.com/sallyport/sallyport/server/audit/show"
)

const hostsExample = `[rig1]
addr = rig1.example.org:7443
pin = SHA256:...
user = alice
password-file = ~/.config/sallyport/rig1.pw`

func hostsCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "hosts",
		Short: "List the names of servers that connect, hold, forward and status take",
		Long: `List the hosts in sallyport/hosts of the configuration directory, ~/.config or
$XDG_CONFIG_HOME. A host has a name, the address of a server, and your login:

  ` + strings.ReplaceAll(hostsExample, "\n", "\n  ") + `

The keys are flags of connect: ` + strings.Join(hosts.Keys, ", ") + `.
The default of addr is the name of the host. ~/ in the name of a file is your home
directory, and other relative names are beside the file of hosts.

Name a host with a colon, before the verb or COMMAND, or with --host. A flag wins
over the environment, and the environment over the file. --ca also replaces pin,
--pin replaces ca, --password-stdin replaces password-file, and each of --cert and
--key replaces both cert and key.`,
		Example: `  sallyport hosts
  sallyport connect rig1: STAT
  sallyport hold rig1: -- make test-on-rig
  sallyport forward --host rig1 --listen 5025
  sallyport status rig1:`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return listHosts() },
	}
}

func listHosts() error {
	path, all, err := readHosts()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		fmt.Fprintf(os.Stderr, "no hosts in %s; write one, as in:\n\n%s\n", show.Printable(path), hostsExample)
		return nil
	}
	out := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	for _, h := range all {
		trusts := "the CAs of this system"
		for _, key := range []string{"ca", "pin"} {
			if value := h.Values[key]; value != "" {
				trusts = key + " " + value
			}
		}
		user := h.Values["user"]
		if user == "" {
			user = "-"
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\n", h.Name, show.Printable(h.Values["addr"]), show.Printable(user), show.Printable(trusts))
	}
	return out.Flush()
}

func readHosts() (path string, all []hosts.Host, err error) {
	if path, err = hosts.Path(); err == nil {
		all, err = hosts.Read(path)
	}
	return path, all, err
}

// hostFlag is the value of --host. Its type distinguishes it from the --host of cert new.
type hostFlag string

func (*hostFlag) Type() string         { return "name" }
func (f *hostFlag) String() string     { return string(*f) }
func (f *hostFlag) Set(s string) error { *f = hostFlag(s); return nil }

// hostOf returns the flag --host of a command that connects.
func hostOf(flags *pflag.FlagSet) (*hostFlag, bool) {
	flag := flags.Lookup("host")
	if flag == nil {
		return nil, false
	}
	host, ok := flag.Value.(*hostFlag)
	return host, ok
}

// completeHost offers the names of hosts.
func completeHost(*cobra.Command, []string, string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	_, all, _ := readHosts()
	for _, h := range all {
		names = append(names, cobra.CompletionWithDesc(h.Name, h.Values["addr"]))
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// withHost turns the first argument "rig1:" of a command that connects into --host=rig1, so that flags may follow it.
func withHost(root *cobra.Command, args []string) []string {
	cmd, rest, err := root.Find(args)
	if err != nil {
		return args
	}
	if _, ok := hostOf(cmd.Flags()); !ok {
		return args
	}
	at := firstArgument(cmd.Flags(), rest)
	if at == len(rest) {
		return args
	}
	name, ok := strings.CutSuffix(rest[at], ":")
	if !ok || name == "" {
		return args
	}
	changed := append([]string{cmd.Name()}, rest...)
	changed[at+1] = "--host=" + name
	return changed
}

// firstArgument returns the index of the first argument that is no flag and no value of one, or the length.
func firstArgument(flags *pflag.FlagSet, args []string) int {
	for i := 0; i < len(args); i++ {
		arg := args[i]
		if arg == "--" {
			break
		}
		if !strings.HasPrefix(arg, "-") {
			return i
		}
		name, long := strings.CutPrefix(arg, "--")
		flag := flags.Lookup(name)
		if !long && len(arg) == 2 {
			flag = flags.ShorthandLookup(arg[1:])
		}
		if flag != nil && flag.NoOptDefVal == "" {
			i++ // its value
		}
	}
	return len(args)
}

// alternatives are groups of flags: one that is given replaces the others of its group.
var alternatives = [][]string{{"ca", "pin"}, {"cert", "key"}, {"password-file", "password-stdin"}}

// settled returns a function that reports whether a flag, or an alternative of it, has been given by now.
func settled(flags *pflag.FlagSet) func(name string) bool {
	all := map[string]bool{}
	flags.Visit(func(f *pflag.Flag) {
		all[f.Name] = true
		for _, group := range alternatives {
			for _, name := range group {
				if name == f.Name {
					for _, other := range group {
						all[other] = true
					}
				}
			}
		}
	})
	if _, connects := hostOf(flags); connects {
		settleServer(all)
	}
	return func(name string) bool { return all[name] }
}

// settleServer lets the server of the command line, or the rig, replace the other.
func settleServer(all map[string]bool) {
	given := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return all[name] })
	}
	server, rig := given("addr", "host"), given("rig", "any")
	for _, name := range []string{"addr", "host", "ca", "pin", "state"} {
		all[name] = all[name] || rig
	}
	for _, name := range []string{"rig", "any"} {
		all[name] = all[name] || server
	}
}

// fromHosts sets each flag that has not been given from the host of --host.
func fromHosts(flags *pflag.FlagSet) error {
	name, ok := hostOf(flags)
	if !ok || *name == "" {
		return nil
	}
	path, all, err := readHosts()
	if err != nil {
		return usageError{message(err)}
	}
	host := hosts.Find(all, string(*name))
	switch {
	case len(all) == 0:
		return usagef("no hosts in %s, and so no %q: sallyport hosts shows how to write one", path, string(*name))
	case host == nil:
		names := []string{}
		for _, h := range all {
			names = append(names, h.Name)
		}
		return usagef("there is no host %q in %s; there are: %s", string(*name), path, strings.Join(names, " "))
	}
	isGiven := settled(flags)
	for key, value := range host.Values {
		if isGiven(key) {
			continue
		}
		if err := flags.Set(key, value); err != nil {
			return usagef("%s: [%s]: %v", path, host.Name, err)
		}
	}
	return nil
}
