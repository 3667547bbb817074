// Package shepherd runs a command while a client holds the seat, and ends it with all that it has started.
//
// On Linux the command runs under a shepherd: this program again, as a process between the client and the command
// (see [Main]). It adopts what the command's children leave behind (PR_SET_CHILD_SUBREAPER), so what has left the
// process group or the session is found too. It ends everything when the client says so, when the client dies,
// whatever kills it, and when the time is over until which the client may run the command, so also if the client
// is stopped. It has a descriptor of the connection to the server: the seat is not free before everything has
// ended, as with flock(1).
//
// On other Unix systems the command has a process group, which is signalled. What leaves the group escapes, and so
// does everything if the client is killed. On Windows the command alone is ended.
//
// On a terminal the command's group has the foreground, so Ctrl-C and Ctrl-Z reach the command and not the client.
// When the command stops, the client takes the foreground back and stops too, for the shell that started it.
package shepherd

import "time"

// KillAfter is the time between SIGTERM and SIGKILL.
const KillAfter = 5 * time.Second
