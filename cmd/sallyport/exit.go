package main

import (
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
)

// The exit codes, which others script against.
const (
	exitDone       = 0
	exitFailed     = 1
	exitUsage      = 2
	exitConnection = 3
	exitLogin      = 4
	exitNoSeat     = 5
	exitRefused    = 6
)

// usageError is wrong usage that cobra can't see.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// statusError is an exit code of which everything has been said already.
type statusError struct{ code int }

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", e.code) }
