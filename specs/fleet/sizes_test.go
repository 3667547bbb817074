package fleet

import (
	"bufio"
	"flag"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/sallyport/sallyport/server/admission"
	"github.com/sallyport/sallyport/server/fleet"
)

var sizes = flag.Int("sizes", 0, "measure what this `number` of gates, with ten waiting clients each, cost the etcd that is installed")

// TestSizes prints the table of "What it costs etcd" in docs/fleet.md. Gates are what package fleet does for one, without
// a server. Each has a session a minute.
func TestSizes(t *testing.T) {
	if *sizes == 0 {
		t.Skip("it takes minutes: go test -run TestSizes -v -sizes 1000")
	}
	e := installedEtcd(t)
	gates := make([]*lightGate, *sizes)
	for i := range gates {
		gates[i] = e.lightGate(i)
	}
	e.measure("directory and users, at rest", gates, false)
	e.measure("with sessions", gates, true)
	var sharing sync.WaitGroup
	for part := range 16 {
		sharing.Go(func() {
			for i := part; i < len(gates); i += 16 {
				gates[i].share()
			}
		})
	}
	sharing.Wait()
	e.measure("and `--fleet-seat`, at rest", gates, false)
	e.measure("with sessions", gates, true)
	for range 100 { // not Fleet.Follow, which is too much for one process
		changes := e.client().Watch(t.Context(), "lab/rigs/", clientv3.WithPrefix())
		go func() {
			for range changes {
			}
		}()
	}
	e.measure("and 100 clients of `--any`, at rest", gates, false)
	e.measure("with sessions", gates, true)
	if n := lost.Load(); n > 0 {
		t.Errorf("etcd or this process was too busy: gates lost their lease, and so %d clients their places", n)
	}
}

// installedEtcd starts the etcd of this machine in a process of its own, so that its metrics have its memory and time.
func installedEtcd(t *testing.T) *etcd {
	t.Helper()
	e := &etcd{t: t, endpoint: "127.0.0.1:23790"}
	url := "http://" + e.endpoint
	cmd := exec.Command("etcd", "--data-dir", t.TempDir(), "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", "http://127.0.0.1:0")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = cmd.Process.Kill(), cmd.Wait() })
	eventually(t, "etcd answers", func() bool { return e.metrics()["etcd_server_has_leader"] == 1 })
	return e
}

// lightGate is what package fleet does for a gate and its clients.
type lightGate struct {
	*fleet.Fleet
	t       *testing.T
	rig, id string
	entry   *fleet.Registration
	heads   *fleet.Noter
	seat    *fleet.Seat // nil as long as it is not shared

	mu     sync.Mutex
	served int // sessions
	places []admission.Place
}

func (e *etcd) lightGate(i int) *lightGate {
	e.t.Helper()
	g := &lightGate{Fleet: e.open(), t: e.t, rig: fmt.Sprintf("rig%04d", i), id: id(i), places: make([]admission.Place, 11)}
	e.t.Cleanup(g.OpenUsers(filepath.Join(e.t.TempDir(), "users")).Close)
	g.entry = register(e.t, g.Fleet, i, g.rig, g.describe)
	g.heads = g.NoteHeads(g.rig, g.id, func() (string, int64) { return g.describe().Head, 1 << 20 })
	return g
}

func (g *lightGate) describe() fleet.Rig {
	g.mu.Lock()
	defer g.mu.Unlock()
	return fleet.Rig{
		Addr: "gate.lab.example:7443", CA: "SHA256:" + strings.Repeat("x", 43), Tags: map[string]string{"board": "imx8", "room": "12"}, Version: "1.0.0",
		Head: fmt.Sprintf("%064x", g.served+1), Holder: "user" + strconv.Itoa(g.served), Since: time.Unix(int64(g.served), 0), Waiting: len(g.places) - 1,
	}
}

// share shares the seat, and puts the holder and ten clients into its queue.
func (g *lightGate) share() {
	g.seat = g.Seat(fleet.SeatConfig{Rig: g.rig, Gate: g.id, Changed: g.entry.Changed, Fatal: func(string) {}})
	for n := range g.places {
		g.places[n] = g.enter(g.served + n)
	}
}

var lost atomic.Int64 // places

// enter has a client enter the queue. It comes again if etcd is too busy.
func (g *lightGate) enter(n int) (place admission.Place) {
	c := admission.Client{
		User: "user" + strconv.Itoa(n), Conn: "C-" + strconv.Itoa(n), Rules: queueRules,
		Changed: func() {}, Evict: func(string, string) { lost.Add(1) },
	}
	for err := error(nil); g.seat != nil && place == nil && g.t.Context().Err() == nil; {
		if place, err = g.seat.Enter(g.t.Context(), c); err != nil {
			place = nil
		}
	}
	return place
}

// turn ends a session, and begins the next one. A second later another client comes.
func (g *lightGate) turn() {
	if g.seat != nil {
		g.places[0].Leave()
	}
	g.change(func() { g.served, g.places = g.served+1, g.places[1:] })
	g.heads.Changed()
	for n := 1; g.seat != nil && n > 0 && lost.Load() == 0; time.Sleep(10 * time.Millisecond) {
		n, _ = g.places[0].Position() // writes when the next session begins
	}
	time.Sleep(time.Second)
	place := g.enter(g.served + len(g.places))
	g.change(func() { g.places = append(g.places, place) })
}

func (g *lightGate) change(do func()) {
	g.mu.Lock()
	do()
	g.mu.Unlock()
	g.entry.Changed()
}

// columns of the table have the sum of some metrics of etcd.
var columns = []struct {
	name, metrics string
	unit          float64
	rate          bool
}{
	{"keys", "etcd_debugging_mvcc_keys_total", 1, false},
	{"MB of the database in use", "etcd_mvcc_db_total_size_in_use_in_bytes", 1e6, false},
	{"watches", "etcd_debugging_mvcc_watcher_total", 1, false},
	{"renewals/s", "etcd_debugging_lease_renewed_total", 1, true},
	{"reads/s", "etcd_mvcc_range_total", 1, true},
	{"writes/s", "etcd_mvcc_put_total etcd_mvcc_delete_total", 1, true},
	{"signs of life/s", `grpc_server_msg_received_total{grpc_method="Watch",grpc_service="etcdserverpb.Watch",grpc_type="bidi_stream"}`, 1, true},
	{"events/s", "etcd_debugging_mvcc_events_total", 1, true},
	{"kB/s sent", "etcd_network_client_grpc_sent_bytes_total", 1e3, true},
	{"% of a core", "process_cpu_seconds_total", 0.01, true},
	{"MB of memory", "process_resident_memory_bytes", 1e6, false},
}

// measure prints what etcd does for a while.
func (e *etcd) measure(what string, gates []*lightGate, sessions bool) {
	e.t.Helper()
	time.Sleep(3 * time.Second) // what came before is over
	before, began := e.metrics(), time.Now()
	var turns sync.WaitGroup
	tick := time.NewTicker(time.Minute / time.Duration(len(gates)))
	defer tick.Stop()
	for n := 0; time.Since(began) < 20*time.Second; n++ {
		<-tick.C
		if sessions {
			turns.Go(gates[n%len(gates)].turn)
		}
	}
	now, passed := e.metrics(), time.Since(began).Seconds()
	turns.Wait()
	fmt.Println(what)
	for _, c := range columns {
		sum := 0.0
		for _, name := range strings.Fields(c.metrics) {
			if sum += now[name]; c.rate {
				sum -= before[name]
			}
		}
		if c.rate {
			sum /= passed
		}
		fmt.Printf("%10.1f %s\n", sum/c.unit, c.name)
	}
}

// metrics returns etcd's metrics. It is empty as long as etcd does not answer.
func (e *etcd) metrics() map[string]float64 {
	all := map[string]float64{}
	if got, err := http.Get("http://" + e.endpoint + "/metrics"); err == nil {
		defer got.Body.Close()
		for lines := bufio.NewScanner(got.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), " ")
			all[name], _ = strconv.ParseFloat(value, 64)
		}
	}
	return all
}
