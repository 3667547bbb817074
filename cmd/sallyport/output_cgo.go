//go:build cgo && unix

package main

/*
#include <fcntl.h>

static int closed;

// This runs before Go's runtime opens /dev/null in the place of a closed descriptor.
// Afterwards that can't be told from a standard output that is /dev/null.
__attribute__((constructor)) static void look(void) { closed = fcntl(1, F_GETFD) < 0; }

static int closedAtStart(void) { return closed; }
*/
import "C"

// closedAtStart reports whether the process was started without standard output.
func closedAtStart() bool { return C.closedAtStart() != 0 }
