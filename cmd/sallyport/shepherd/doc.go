// Package shepherd runs a command while a client holds the seat, and ends the command with all that it has
// started. [Start] runs it beside the client, and [Command] runs it as the backend of a server.
//
// On Linux the command runs under a shepherd (see [Main]): a process between the client and the command,
// which runs this program again. It adopts the children of processes that end (PR_SET_CHILD_SUBREAPER), so it
// also finds what has left the process group or the session. It ends all processes when the client tells it
// to, when the client ends for any reason, and when the command's time is over, even if the client is
// stopped. It has a descriptor of the connection to the server, so the seat is not free before all processes
// have ended, as with flock(1). The command of a server ends in the same way when the server tells the
// shepherd to, or ends. It has no connection and no time limit.
//
// On other Unix systems the command has a process group, which gets the signals. A process that leaves the
// group escapes. If the client is killed, all processes go on. On Windows only the command is ended.
//
// On a terminal the command's group has the foreground, so Ctrl-C and Ctrl-Z reach the command and not the
// client. When the command stops, the client gives the terminal back and stops too, so that the shell
// notices.
package shepherd

import (
	"errors"
	"time"
)

// KillAfter is the time between SIGTERM and SIGKILL.
const KillAfter = 5 * time.Second

// ErrOver means that the shepherd has ended the command because its time was over, as this process did not renew it.
var ErrOver = errors.New("the time was over before it was renewed, because the program was stopped or the machine asleep")
