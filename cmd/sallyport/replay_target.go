package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios"
)

// target returns where the scenarios run.
func (f *replayFlags) target(ctx context.Context) (*scenarios.Target, error) {
	target := &scenarios.Target{Timeout: f.timeout, Keep: f.keep}
	switch {
	case f.addr == "" && f.users == "":
		return target, nil
	case f.addr == "":
		return nil, usagef("--users is for a running server: give its address with --addr")
	case f.users == "":
		return nil, usagef("--addr needs --users, a file with the passwords of the cast on that server")
	case f.parallel > 1:
		return nil, usagef("--parallel is for servers in the process: against --addr scenarios run one after another, because there is one seat")
	}
	if err := checkAddr(f.addr); err != nil {
		return nil, err
	}
	config, err := f.tlsConfig()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	dialer, err := f.pinned(limited, &client.Dialer{TLSConfig: config}, withPort(f.addr))
	if err != nil {
		return nil, cause(ctx, f.hint(err))
	}
	target.Remote = &scenarios.Remote{Addr: withPort(f.addr), Roots: dialer.TLSConfig.RootCAs}
	return target, readUsers(target.Remote, f.users)
}

func readUsers(remote *scenarios.Remote, name string) error {
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	warnReadable(file)
	if err := remote.ReadUsers(file); err != nil {
		return fmt.Errorf("%s:%w", name, err)
	}
	return nil
}

// reach checks that the server to run against is a Sallyport server, and that the cast can log in there.
func (f *replayFlags) reach(ctx context.Context, remote *scenarios.Remote) error {
	if remote == nil {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if err := remote.Reach(limited); err != nil {
		return cause(ctx, f.hint(err))
	}
	return cause(ctx, f.castError(remote, remote.LogIn(limited)))
}

// castError says what to do about an error of Remote.LogIn.
func (f *replayFlags) castError(remote *scenarios.Remote, err error) error {
	cast, refused := errors.AsType[*scenarios.CastError](err)
	reply, _ := errors.AsType[*protocol.ReplyError](err)
	switch {
	case reply != nil && reply.Keyword == protocol.KeywordThrottled:
		return keptOutError(remote, "it refuses the login of "+cast.Member)
	case refused && errors.Is(err, client.ErrLoginFailed):
		return worded{err, fmt.Sprintf("%s refuses %s, who logs in as %q: is the password in %s right, and is that a user there?",
			remote.Addr, cast.Member, cast.User, f.users)}
	case refused && errors.Is(err, client.ErrProtocol):
		return &client.ConnectError{Addr: remote.Addr, Err: errors.New("it is no Sallyport server, or a faulty one: " + message(cast.Err))}
	case refused && errors.Is(err, context.DeadlineExceeded):
		return &client.ConnectError{Addr: remote.Addr, Err: errors.New("it is no Sallyport server, or it hangs: it did not complete a login in time")}
	case refused:
		return f.hint(cast.Err)
	}
	return err
}

// keptOutError says why a server can't be tested now.
func keptOutError(remote *scenarios.Remote, how string) error {
	return fmt.Errorf("%s keeps this machine out, because the scenarios leave without a login and guess passwords (%s): start it with --trust and the address of this machine, and test it then", remote.Addr, how)
}

// keptOut returns an error if the server has a penalty for the address of this machine. The results of a run
// say nothing about the server then.
func (f *replayFlags) keptOut(ctx context.Context, remote *scenarios.Remote, r *scenarios.Result) error {
	if remote == nil || r.Status == scenarios.Skipped {
		return nil
	}
	limited, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	if !remote.KeepsOut(limited, r) {
		return nil
	}
	return keptOutError(remote, "in "+r.Name())
}

// alone returns a function that returns the command line for one case by itself,
// with the flags of this process.
func (f *replayFlags) alone(cmd *cobra.Command, paths []string) func(name string) string {
	line := quoteArg(os.Args[0]) + " replay"
	cmd.Flags().Visit(func(flag *pflag.Flag) {
		switch flag.Name {
		case "addr", "ca", "pin", "state", "users", "timeout":
			line += " --" + flag.Name + " " + quoteArg(flag.Value.String())
		}
	})
	return func(name string) string {
		alone := line + " --run " + quoteArg("^"+regexp.QuoteMeta(name)+"$")
		for _, path := range paths {
			alone += " " + quoteArg(path)
		}
		return alone
	}
}
