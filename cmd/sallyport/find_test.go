package main

import (
	"testing"

	"github.com/spf13/cobra"
)

// A rig or a server on the command line replaces the other in the environment.
func TestServerAndRigReplaceEachOther(t *testing.T) {
	for _, c := range []struct{ given, variable, value, flag, want string }{
		{"rig=a", "ADDR", "h:1", "addr", defaultAddr},
		{"rig=a", "STATE", "/s", "state", ""},
		{"any=true", "CA", "f", "ca", ""},
		{"any=true", "HOST", "h", "host", ""},
		{"addr=h:1", "RIG", "a", "rig", ""},
		{"host=h", "ANY", "true", "any", "false"},
		{"user=u", "RIG", "a", "rig", "a"},
	} {
		t.Run(c.given+" "+c.variable, func(t *testing.T) {
			t.Setenv(envPrefix+c.variable, c.value)
			f, cmd := &dialFlags{}, &cobra.Command{}
			f.define(cmd)
			f.find.define(cmd)
			if err := cmd.ParseFlags([]string{"--" + c.given}); err != nil {
				t.Fatal(err)
			}
			if err := fromEnvironment(cmd.Flags()); err != nil || cmd.Flags().Lookup(c.flag).Value.String() != c.want {
				t.Error(cmd.Flags().Lookup(c.flag).Value, err)
			}
		})
	}
}
