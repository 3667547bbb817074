package shepherd

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// others are the processes below this one that are not of a shepherd, for example those of a shell that has replaced
// itself by this program. They are never ended.
type others struct {
	known    map[int]uint64 // pids and when they were started: a pid can be used again
	sessions map[int]bool   // with the groups, this also tells what the others start later
	groups   map[int]bool
}

// findOthers returns what is below this process before a shepherd is started. The shepherd is in the session of this
// process, or in one of its own.
func findOthers(ownSession bool) *others {
	o := &others{map[int]uint64{}, map[int]bool{}, map[int]bool{}}
	self := os.Getpid()
	o.add(self)
	eachDescendant(self, o.add)
	if p, ok := readProcess(self); ok && !ownSession {
		delete(o.sessions, p.session)
	}
	return o
}

func (o *others) add(pid int) {
	if p, ok := readProcess(pid); ok {
		o.known[pid], o.sessions[p.session], o.groups[p.group] = p.started, true, true
	}
}

// has reports whether a process is one of the others, or was started by one.
func (o *others) has(pid int, p process) bool {
	started, known := o.known[pid]
	return known && started == p.started || o.sessions[p.session] || o.groups[p.group]
}

// endOrphans kills what a killed shepherd has left. Its children are then children of this process.
// It gives up at by, because a process may be another user's.
func (o *others) endOrphans(by time.Time) error {
	for left := o.killOrphans(); len(left) > 0; left = o.killOrphans() {
		if time.Now().After(by) {
			return fmt.Errorf("the shepherd was killed, and these of its processes could not be ended: %v", left)
		}
		time.Sleep(minRescan)
	}
	return nil
}

// killOrphans kills and reaps what it finds, and returns that.
func (o *others) killOrphans() (found []int) {
	kill := func(pid int) {
		found = append(found, pid)
		_ = unix.Kill(pid, unix.SIGKILL)
	}
	childrenOf()(os.Getpid(), func(pid int) {
		if p, ok := readProcess(pid); ok && !o.has(pid, p) {
			kill(pid)
			eachDescendant(pid, kill)
		}
	})
	reap()
	return found
}

// reap reaps the children that have ended.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 && err != unix.EINTR {
			return
		}
	}
}
