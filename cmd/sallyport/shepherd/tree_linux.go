package shepherd

import (
	"bytes"
	"os"
	"strconv"
	"sync"
)

// eachDescendant calls visit for each descendant of root, parents first, as soon as it finds it: a process that
// forks and ends again and again is gone a moment later. Some descendants have ended and wait for their parent.
// It misses the children of a process that ends during the search. The next search finds them, because root has
// adopted them then.
func eachDescendant(root int, visit func(pid int)) {
	children := childrenOf()
	for queue := []int{root}; len(queue) > 0; queue = queue[1:] {
		children(queue[0], func(pid int) {
			visit(pid)
			queue = append(queue, pid)
		})
	}
}

// childrenOf returns the function that calls visit for each child of a process.
func childrenOf() func(parent int, visit func(pid int)) {
	if hasChildrenFiles() {
		return eachChild
	}
	return childrenInTable()
}

// hasChildrenFiles reports whether the kernel lists the children of a process (CONFIG_PROC_CHILDREN). Without the
// lists a search takes as long as there are processes on the machine.
var hasChildrenFiles = sync.OnceValue(func() bool {
	_, err := os.Stat("/proc/thread-self/children")
	return err == nil
})

// eachChild calls visit for each child of a process. Each thread has a list of those that it has started or adopted.
func eachChild(parent int, visit func(pid int)) {
	tasks := "/proc/" + strconv.Itoa(parent) + "/task/"
	for _, thread := range names(tasks) {
		list, _ := os.ReadFile(tasks + thread + "/children")
		for word := range bytes.FieldsSeq(list) {
			if pid, err := strconv.Atoi(string(word)); err == nil {
				visit(pid)
			}
		}
	}
}

// childrenInTable returns a function like eachChild that looks into a copy of the process table.
func childrenInTable() func(parent int, visit func(pid int)) {
	children := map[int][]int{}
	for _, name := range names("/proc") {
		if pid, err := strconv.Atoi(name); err == nil {
			if p, ok := readProcess(pid); ok {
				children[p.parent] = append(children[p.parent], pid)
			}
		}
	}
	return func(parent int, visit func(pid int)) {
		for _, pid := range children[parent] {
			visit(pid)
		}
	}
}

// names returns the names in a folder, or none if it has gone.
func names(folder string) []string {
	f, err := os.Open(folder)
	if err != nil {
		return nil
	}
	defer f.Close()
	all, _ := f.Readdirnames(-1)
	return all
}

// process is an entry of the process table.
type process struct {
	parent, group, session int
	started                uint64 // in ticks since the machine was started
	state                  byte   // as in proc_pid_stat(5)
}

// runs reports whether a process has neither stopped nor ended.
func (p process) runs() bool { return !bytes.ContainsRune([]byte("TtZX"), rune(p.state)) }

// readProcess reads /proc/PID/stat: "PID (COMMAND) STATE PARENT GROUP SESSION ...". COMMAND may contain anything.
func readProcess(pid int) (p process, ok bool) {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return p, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 20 {
		return p, false
	}
	p.state = fields[0][0]
	for i, number := range []*int{&p.parent, &p.group, &p.session} {
		if *number, err = strconv.Atoi(string(fields[1+i])); err != nil {
			return p, false
		}
	}
	p.started, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return p, err == nil
}
