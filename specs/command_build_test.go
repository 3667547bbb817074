package specs

import "os"

// SPECS_COVERDIR, of "make cover", is the folder for the coverage of the command.
// The command itself must be among the packages, or else nothing is measured.
//
// SPECS_COMMAND_RACE, of "make race", builds the command with the race detector. Each of its many starts then
// takes several times as long. A race makes the exit code 66, which no spec expects.
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
