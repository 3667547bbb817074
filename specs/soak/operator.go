package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// operator runs the server of an act: it changes passwords, rotates the log, fills the disk, and kills.
type operator struct {
	*act
	r     *rand.Rand
	kills bool
	keep  []func() error // what was deleted, to be kept at the end
}

// maxLog is the size of the log, in bytes, at which it is rotated in any case.
const maxLog = 8 << 20

// task is something that the operator does. may is false where this run lacks the means for it.
type task struct {
	name   string
	weight int
	may    bool
	run    func(*operator, context.Context) error
}

func (o *operator) tasks() []task {
	return []task{
		{"passwords changed", 4, true, (*operator).passwd},
		{"server: SIGHUP", 2, true, func(o *operator, _ context.Context) error { o.hup(); return nil }},
		{"log: rotated", 4, true, (*operator).rotate},
		{"log: renamed, SIGHUP later", 2, true, (*operator).renameLate},
		{"log: renamed without SIGHUP", 2, true, (*operator).renameOnly},
		{"log: copied and truncated", 2, true, func(o *operator, _ context.Context) error { return o.logs.copyTruncate() }},
		{"log: deleted", 2, true, (*operator).remove},
		{"disk filled: alone", 3, o.small, func(o *operator, ctx context.Context) error { return o.fill(ctx, false) }},
		{"disk filled: with SIGKILL", 8, o.small && o.kills, func(o *operator, ctx context.Context) error { return o.fill(ctx, true) }},
		{"disk slow", 3, o.canSlow(), (*operator).slow},
		{"server: stopped for a moment", 2, runtime.GOOS == "linux", (*operator).suspend},
		{"server: SIGKILL", 6, o.kills, func(o *operator, ctx context.Context) error { return o.restart(ctx, syscall.SIGKILL) }},
		{"server: SIGTERM", 3, o.kills, func(o *operator, ctx context.Context) error { return o.restart(ctx, syscall.SIGTERM) }},
	}
}

// work does one task after another until ctx ends, and leaves the server running and the disk free. The
// context of a task does not end with the shift, so that each task is done completely.
func (o *operator) work(ctx context.Context) error {
	var choice []task
	for _, d := range o.tasks() {
		for range d.weight {
			if d.may {
				choice = append(choice, d)
			}
		}
	}
	whole := context.WithoutCancel(ctx)
	for pause(ctx, time.Duration(100+o.r.IntN(700))*time.Millisecond) {
		d := choice[o.r.IntN(len(choice))]
		if info, err := os.Stat(o.logs.path); err != nil {
			continue // it was renamed, and the server has not written since
		} else if info.Size() > maxLog {
			d = task{name: "log: rotated", run: (*operator).rotate}
		}
		o.count(d.name)
		if err := errors.Join(d.run(o, whole), o.logs.tidy()); err != nil {
			return err
		}
	}
	var err error
	for _, keep := range o.keep {
		err = errors.Join(err, keep())
	}
	return err
}

func (o *operator) hup() { o.host.current().signal(syscall.SIGHUP) }

// passwd changes a password, and lets two clients come: one that knows the new one, and one that doesn't.
func (o *operator) passwd(ctx context.Context) error {
	user := userName(o.r)
	if err := o.accounts.set(ctx, o.r, "passwd", user); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, k := range []kind{{"forgetful", 1, (*guest).forgetful}, {"talk", 1, (*guest).talk}} {
		o.visit(ctx, o.r, user, "127.1.1.2", k, fate{kind: clean})
	}
	return nil
}

// rotate is what the documentation says: rename, and SIGHUP.
func (o *operator) rotate(ctx context.Context) error {
	if err := o.logs.rename(); err != nil {
		return err
	}
	o.hup()
	if !o.logs.awaitNew(ctx) {
		return errors.New("after a SIGHUP the server did not begin a new log within 10 s:\n" + o.host.current().err.String())
	}
	return nil
}

// renameLate sends the SIGHUP late.
func (o *operator) renameLate(ctx context.Context) error {
	if err := o.logs.rename(); err != nil {
		return err
	}
	pause(ctx, time.Duration(o.r.IntN(800))*time.Millisecond)
	o.hup()
	if !o.logs.awaitNew(ctx) {
		return errors.New("after a late SIGHUP the server did not begin a new log within 10 s")
	}
	return nil
}

// renameOnly sends none. The server notices before its next reply.
func (o *operator) renameOnly(context.Context) error { return o.logs.rename() }

// remove deletes the log.
func (o *operator) remove(context.Context) error {
	keep, err := o.logs.remove()
	if err == nil {
		o.keep = append(o.keep, keep)
	}
	return err
}

// fill fills the disk for a moment, in which a client comes. Its end may come while no server runs.
func (o *operator) fill(ctx context.Context, kill bool) error {
	filler := filepath.Join(o.dir, "filler")
	file, err := os.Create(filler)
	if err != nil {
		return err
	}
	for block := make([]byte, 1<<20); len(block) > 0; {
		if _, err := file.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	within, cancel := context.WithTimeout(ctx, time.Duration(50+o.r.IntN(700))*time.Millisecond)
	o.visit(within, o.r, userName(o.r), "127.1.1.3", kind{"talk", 1, (*guest).talk}, fate{kind: clean})
	<-within.Done()
	cancel()
	if kill {
		err = o.host.stop(syscall.SIGKILL)
	}
	err = errors.Join(err, file.Close(), os.Remove(filler))
	if kill {
		err = errors.Join(err, o.host.begin(ctx))
	}
	return err
}

// suspend stops the server for a moment, as a machine does that swaps.
func (o *operator) suspend(ctx context.Context) error {
	s := o.host.current()
	s.signal(sigstop)
	pause(ctx, time.Duration(o.r.IntN(600))*time.Millisecond)
	s.signal(sigcont)
	return nil
}

// restart ends the server with a signal, and starts it on the same state.
func (o *operator) restart(ctx context.Context, sig syscall.Signal) error {
	if err := o.host.stop(sig); err != nil {
		return err
	}
	pause(ctx, time.Duration(o.r.IntN(200))*time.Millisecond)
	return o.host.begin(ctx)
}

// mountSmall makes a directory a file system of a few megabytes. Only root on Linux can.
func mountSmall(dir string) error {
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return errors.ErrUnsupported
	}
	return exec.Command("mount", "-t", "tmpfs", "-o", "size=24m,mode=0700", "soak", dir).Run()
}

func unmount(dir string) error { return exec.Command("umount", dir).Run() }
