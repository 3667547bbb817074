package specs

import "os"

// With SPECS_COMMAND_RACE in the environment, as "make race" has it, the command
// is built with the race detector, too: that makes each of the many times that it
// is started several times as expensive. A race that it finds makes the exit code
// 66, which no spec expects.
func init() {
	if os.Getenv("SPECS_COMMAND_RACE") != "" {
		buildFlags = append(buildFlags, "-race")
	}
}
