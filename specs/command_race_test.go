//go:build race

package specs

// Where the suite runs under the race detector, so does the command. A race
// that it finds makes the exit code 66, which no spec expects.
func init() { buildFlags = append(buildFlags, "-race") }
