package specs

import "os"

// Where coverage is measured (make cover), that of the command is, too: what it
// executes is left in $SPECS_COVERDIR. It must be among the packages itself, or
// else nothing is.
func init() {
	if os.Getenv("SPECS_COVERDIR") != "" {
		const module = "github.com/sallyport/sallyport/"
		buildFlags = append(buildFlags, "-cover",
			"-coverpkg="+module+"cmd/...,"+module+"protocol/...,"+module+"server/...,"+module+"client/...")
	}
}
