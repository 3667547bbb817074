//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sallyport/sallyport/server/users"
)

const (
	visitors = 20
	password = "correct horse battery"
)

// world is all that takes part in a run.
type world struct {
	options
	dir      string
	r        *rand.Rand
	cluster  *cluster
	device   *device
	cables   *cables
	gates    []*gate
	visitors []*visitor
	done     []occurred
}

// gate is a server of the rig.
type gate struct {
	*process
	w       *world
	number  int
	dir     string
	addr    string // after the first start
	trust   *tls.Config
	links   []*link // to the nodes of etcd
	mu      sync.Mutex
	deaths  []string // ends that no fault explains
	atStart int      // descriptors
}

func newWorld(ctx context.Context, o options) (w *world, err error) {
	w = &world{options: o, r: rand.New(rand.NewPCG(o.seed, 0)), cables: &cables{}}
	if w.dir, err = os.MkdirTemp("", "fleet-soak-"); err != nil {
		return w, err
	}
	if err := w.build(ctx); err != nil {
		return w, err
	}
	if w.device, err = newDevice(filepath.Join(w.dir, "device")); err != nil {
		return w, err
	}
	if err := os.WriteFile(w.passwordFile(), []byte(password+"\n"), 0o600); err != nil {
		return w, err
	}
	if w.cluster, err = newCluster(ctx, w.dir, w.etcd); err != nil {
		return w, err
	}
	if w.cables, err = layCables(2); err != nil {
		return w, err
	}
	for i := range 2 {
		if err := w.newGate(i, true); err != nil {
			return w, err
		}
	}
	for i := range visitors {
		w.visitors = append(w.visitors, newVisitor(w, i, rand.New(rand.NewPCG(o.seed, uint64(i)+1))))
	}
	return w, nil
}

// build builds the command, unless -bin has it. The command's module is the one that this one replaces.
func (w *world) build(ctx context.Context) error {
	if w.bin != "" {
		return nil
	}
	w.bin = filepath.Join(w.dir, "sallyport")
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/sallyport/sallyport").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", w.bin, "./cmd/sallyport")
	cmd.Dir = strings.TrimSpace(string(root))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

func (w *world) etcdName() string {
	if w.etcd != "" {
		return w.etcd
	}
	return "in this program"
}

// newGate makes a gate and starts it.
func (w *world) newGate(number int, shared bool) error {
	g := &gate{w: w, number: number, dir: filepath.Join(w.dir, fmt.Sprint("gate", number))}
	w.gates = append(w.gates, g)
	if err := mountDisk(g.dir, smallDisk); err != nil {
		return err
	}
	list := filepath.Join(g.dir, "users")
	err := os.WriteFile(list, nil, 0o600)
	for i := range visitors {
		err = errors.Join(err, users.Add(list, fmt.Sprintf("c%02d", i), password, 4096))
	}
	if err != nil {
		return err
	}
	for _, n := range w.cluster.nodes {
		l, err := newLink(n.Client)
		if err != nil {
			return err
		}
		g.links = append(g.links, l)
	}
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	_, port, _ := strings.Cut(ports[0], ":")
	g.addr = w.cables.hosts[number%len(w.cables.hosts)] + ":" + port
	if err := g.start(shared); err != nil {
		return err
	}
	ca, err := os.ReadFile(filepath.Join(g.dir, "ca.pem"))
	g.trust = &tls.Config{RootCAs: x509.NewCertPool()}
	g.trust.RootCAs.AppendCertsFromPEM(ca)
	g.atStart = g.descriptors()
	return err
}

func (g *gate) log() string   { return filepath.Join(g.w.dir, fmt.Sprintf("gate%d.log", g.number)) }
func (g *gate) audit() string { return filepath.Join(g.dir, "audit.jsonl") }

// start starts the server and waits until it listens.
func (g *gate) start(shared bool) (err error) {
	before, _ := os.ReadFile(g.log())
	args := []string{
		"serve", "--listen", g.addr, "--state", g.dir, "--backend", "tcp:" + g.w.device.listener.Addr().String(),
		"--queue-depth", "64", "--vanish-timeout", "10s", "--trust", "0.0.0.0/0", "--quiet",
	}
	if shared {
		var all []string
		for _, l := range g.links {
			all = append(all, l.addr())
		}
		args = append(args, "--fleet", "etcd://"+strings.Join(all, ",")+"/lab", "--rig", "device", "--fleet-seat")
	}
	if g.process, err = spawn(g.log(), g.w.bin, args...); err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && !g.ended(); time.Sleep(20 * time.Millisecond) {
		text, _ := os.ReadFile(g.log())
		if strings.Contains(string(text[len(before):]), "listening on ") {
			go g.watch(g.process, shared)
			return nil
		}
	}
	text, _ := os.ReadFile(g.log())
	return fmt.Errorf("gate %d does not listen: %s", g.number, tail(text))
}

// watch starts the server again if it ends by itself, as a service manager does.
func (g *gate) watch(p *process, shared bool) {
	<-p.done
	if p.wanted.Load() {
		return
	}
	text, _ := os.ReadFile(g.log())
	g.mu.Lock()
	defer g.mu.Unlock()
	g.deaths = append(g.deaths, time.Now().UTC().Format("15:04:05 ")+p.cmd.ProcessState.String()+": "+tail(text))
	if err := g.start(shared); err != nil {
		g.deaths = append(g.deaths, err.Error())
	}
}

// tail returns the last line.
func tail(text []byte) string {
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return lines[len(lines)-1]
}

// play makes the run.
func (w *world) play(ctx context.Context, plan []fault) error {
	living, end := context.WithCancel(ctx)
	defer end()
	var all sync.WaitGroup
	began := time.Now()
	for _, v := range w.visitors {
		all.Go(func() { v.live(living) })
	}
	stop := time.Now()
	err := w.flows(ctx, began)
	if err == nil {
		w.suffer(ctx, plan)
		stop = time.Now()
	}
	end()
	all.Wait()
	if err != nil {
		return err
	}
	rest := w.comeToRest(ctx)
	return errors.Join(w.judge(stop), rest)
}

// flows waits until the device gets messages.
func (w *world) flows(ctx context.Context, since time.Time) error {
	for end := time.Now().Add(judgedSilence); time.Now().Before(end); {
		if _, at := w.device.last(); at.After(since) {
			return nil
		}
		if !pause(ctx, 10*time.Millisecond) {
			return ctx.Err()
		}
	}
	return fmt.Errorf("the device gets nothing for %v", judgedSilence)
}

// comeToRest judges what is left when all clients have gone, and stops the gates.
func (w *world) comeToRest(ctx context.Context) (err error) {
	var keys []string
	for end := time.Now().Add(judgedSilence); time.Now().Before(end); pause(ctx, 100*time.Millisecond) {
		if keys, err = w.cluster.places(ctx, "lab/seats/"); err == nil && len(keys) == 0 && w.device.atRest() {
			break
		}
	}
	if err != nil || len(keys) > 0 || !w.device.atRest() {
		err = fmt.Errorf("at rest: places %q, the device is at rest: %v, %w", keys, w.device.atRest(), err)
	}
	pause(ctx, 200*time.Millisecond)
	for _, g := range w.gates {
		if n := g.descriptors(); n > g.atStart+slack {
			err = errors.Join(err, fmt.Errorf("gate %d has %d descriptors at rest, and had %d at the start", g.number, n, g.atStart))
		}
		err = errors.Join(err, g.leave(20*time.Second))
		out, failed := exec.CommandContext(ctx, w.bin, "log", "verify", g.audit()).CombinedOutput()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("the log of gate %d does not verify: %s", g.number, out))
		}
	}
	return err
}

// slack is how many descriptors more a gate may have at rest: connections to etcd that were made again.
const slack = 6

// clear ends all processes. It returns the directory if that is kept.
func (w *world) clear(keep bool) string {
	for _, g := range w.gates {
		if g.process != nil {
			g.kill()
		}
		if keep {
			_ = exec.Command("cp", "-r", g.dir, g.dir+".kept").Run()
		}
		_ = syscall.Unmount(g.dir, 0)
	}
	if w.cluster != nil {
		for _, n := range w.cluster.nodes {
			if n.process != nil {
				n.kill()
			}
			_ = syscall.Unmount(n.Dir, 0)
		}
	}
	w.cables.clear()
	if keep {
		return w.dir
	}
	_ = os.RemoveAll(w.dir)
	return ""
}
