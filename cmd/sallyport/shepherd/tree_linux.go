package shepherd

import (
	"bytes"
	"os"
	"strconv"
)

// process is an entry of the process table.
type process struct {
	pid, parent int
	state       byte // as in proc_pid_stat(5)
}

// descendants returns the descendants of root that have not ended. It misses the children of a process that
// ends during the search. The next search finds them, because root has adopted them then.
func descendants(root int) (found []process) {
	children := map[int][]process{}
	folder, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(pid); ok {
				children[p.parent] = append(children[p.parent], p)
			}
		}
	}
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		for _, p := range children[queue[0]] {
			queue = append(queue, p.pid)
			if p.state != 'Z' && p.state != 'X' {
				found = append(found, p)
			}
		}
	}
	return found
}

// readProcess reads /proc/PID/stat: "PID (COMMAND) STATE PARENT". COMMAND may contain anything.
func readProcess(pid int) (p process, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 2 {
		return p, false
	}
	parent, err := strconv.Atoi(string(fields[1]))
	return process{pid, parent, fields[0][0]}, err == nil
}
