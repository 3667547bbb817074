package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/pflag"

	"github.com/sallyport/sallyport/server/audit/show"
)

// notifier is the part of serve that informs systemd (sd_notify(3)), for a service of Type=notify or notify-reload.
// systemctl status shows who has the seat.
type notifier struct {
	news chan string // states of the service, in their order
	seat chan struct{}

	mu      sync.Mutex
	holder  string // who has the seat
	conn    string // its connection
	waiting int
}

// notifyPatience bounds how long the process, before it exits, waits for systemd to take the last state.
const notifyPatience = time.Second

func newNotifier() *notifier {
	return &notifier{news: make(chan string, 16), seat: make(chan struct{}, 1)}
}

func (*notifier) define(*pflag.FlagSet) {}
func (*notifier) check() error          { return nil }

// observe keeps the status up to date.
func (n *notifier) observe(line []byte) {
	if !bytes.Contains(line, []byte(`"event":"session.`)) && !bytes.Contains(line, []byte(`"event":"queue.`)) {
		return
	}
	var r struct{ Event, Conn, User string }
	if json.Unmarshal(line, &r) != nil || !n.follow(r.Event, r.Conn, r.User) {
		return
	}
	select {
	case n.seat <- struct{}{}:
	default: // the status is about to be sent
	}
}

// follow reports whether an event changes the status.
func (n *notifier) follow(event, conn, user string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case event == "session.open":
		n.holder, n.conn = user, conn
	case event == "session.close" && conn == n.conn:
		n.holder, n.conn = "", ""
	case event == "queue.enter":
		n.waiting++
	case event == "queue.leave":
		n.waiting--
	default:
		return false
	}
	return true
}

// status returns the line for systemctl status.
func (n *notifier) status() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	text := "STATUS=The seat is free"
	if n.holder != "" {
		text = "STATUS=" + show.Printable(n.holder) + " has the seat"
	}
	if n.waiting > 0 {
		text += fmt.Sprintf(", %d waiting", n.waiting)
	}
	return text
}

// start tells systemd that connections are accepted from here on.
func (n *notifier) start(r *running) (stop func(), err error) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return nil, nil
	}
	n.say(daemon.SdNotifyReady + "\n" + n.status())
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		n.send(end, r.log)
	}()
	return func() {
		close(end)
		select {
		case <-ended:
		case <-time.After(notifyPatience):
		}
	}, nil
}

// send sends the states and the status until end. It has its own goroutine, because a write blocks while systemd reads
// nothing.
func (n *notifier) send(end <-chan struct{}, log *slog.Logger) {
	warn := sync.OnceFunc(func() { log.Warn("systemd can't be informed of the state of the service") })
	notify := func(text string) {
		if _, err := daemon.SdNotify(false, text); err != nil {
			warn()
		}
	}
	for {
		select {
		case text := <-n.news:
			notify(text)
		case <-n.seat:
			notify(n.status())
		case <-end:
			for len(n.news) > 0 {
				notify(<-n.news)
			}
			return
		}
	}
}

// say queues a state.
func (n *notifier) say(text string) {
	select {
	case n.news <- text:
	default: // systemd reads nothing, and the queue is full
	}
}

// reloading sends the time too, because systemd compares it with the time of its request for a reload.
func (n *notifier) reloading() {
	n.say(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
}

func (n *notifier) reloaded(err error) {
	text := daemon.SdNotifyReady + "\n" + n.status()
	if err != nil {
		text = daemon.SdNotifyReady + "\nSTATUS=A reload failed; what failed stays as it was"
	}
	n.say(text)
}

func (n *notifier) stopping() { n.say(daemon.SdNotifyStopping + "\nSTATUS=Shutting down") }
