//go:build !linux

package shepherd

import "errors"

// Subcommand is the hidden subcommand that must call Main.
const Subcommand = "shepherd"

// Main fails: only Linux has the shepherd.
func Main([]string) (int, error) { return 0, errors.New("only Linux has this") }
