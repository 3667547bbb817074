package specs

import "os"

// SPECS_COVERDIR, of "make cover", is the folder for the coverage of the command. If the packages lack the
// command itself, Go measures nothing.
//
// SPECS_COMMAND_RACE, of "make race", builds the command with the race detector. Each start
// then takes several times as long. After a race the exit code is 66, which no spec expects.
func init() {
	if os.Getenv("SPECS_COVERDIR") != "" {
		const module = "github.com/sallyport/sallyport/"
		buildFlags = append(buildFlags, "-cover",
			"-coverpkg="+module+"cmd/...,"+module+"protocol/...,"+module+"server/...,"+module+"client/...")
	}
	if os.Getenv("SPECS_COMMAND_RACE") != "" {
		buildFlags = append(buildFlags, "-race")
	}
}
