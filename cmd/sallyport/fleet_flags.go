package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/fleet"
)

// fleetFlags name the etcd of a fleet and the certificates for it.
type fleetFlags struct{ url, ca, cert, key string }

func (f *fleetFlags) define(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "fleet", "", "etcd with the directory of rigs: `etcd://HOST:PORT[,HOST:PORT...][/PREFIX]`")
	flags.StringVar(&f.ca, "fleet-ca", "", "`file` with the CA of etcd's certificate; without it etcd must be on this machine")
	flags.StringVar(&f.cert, "fleet-cert", "", "`file` with the client certificate for etcd")
	flags.StringVar(&f.key, "fleet-key", "", "`file` with the key of --fleet-cert")
}

// check returns an error of usage if --fleet is missing although it is needed, or if another flag needs it.
func (f *fleetFlags) check(needed string) error {
	switch {
	case f.url == "" && needed != "":
		return usagef("%s needs --fleet, or SALLYPORT_FLEET in the environment: where etcd is", needed)
	case f.url == "" && f.ca+f.cert+f.key != "":
		return usagef("--fleet-ca, --fleet-cert and --fleet-key go with --fleet")
	}
	return nil
}

// open returns the fleet. The first use connects.
func (f *fleetFlags) open(log *slog.Logger) (*fleet.Fleet, error) {
	opened, err := fleet.Open(context.Background(), fleet.Config{URL: f.url, CA: f.ca, Cert: f.cert, Key: f.key, Log: log})
	if errors.Is(err, fleet.ErrConfig) {
		return nil, usagef("--fleet: %v", message(err))
	}
	return opened, err
}

// tagsFlag is the value of --tag. Each Set adds tags, separated by commas.
type tagsFlag map[string]string

func (tagsFlag) Type() string { return "KEY=VALUE" }

func (f tagsFlag) String() string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(f)) {
		all = append(all, key+"="+f[key])
	}
	return strings.Join(all, ",")
}

func (f *tagsFlag) Set(s string) error {
	if *f == nil {
		*f = tagsFlag{}
	}
	for tag := range strings.SplitSeq(s, ",") {
		key, value, ok := strings.Cut(tag, "=")
		if !ok {
			return fmt.Errorf("%.80q is not KEY=VALUE", tag)
		}
		if err := fleet.CheckTag(key, value); err != nil {
			return err
		}
		(*f)[key] = value
	}
	return nil
}
