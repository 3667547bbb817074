//go:build cgo && unix

package main

/*
#include <fcntl.h>

static int closed;

// Go's runtime opens /dev/null on a closed descriptor. This runs before: afterwards a closed
// standard output would look like one that is redirected to /dev/null.
__attribute__((constructor)) static void look(void) { closed = fcntl(1, F_GETFD) < 0; }

static int closedAtStart(void) { return closed; }
*/
import "C"

// closedAtStart reports whether the process was started without standard output.
func closedAtStart() bool { return C.closedAtStart() != 0 }
