package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/certs"
	"github.com/sallyport/sallyport/server/state"
)

// running is a server that runs, for the parts of serve.
type running struct {
	flags    *serveFlags
	server   *server.Server
	users    userSource
	paths    state.Paths
	listener *patientListener
	certs    *certs.Keeper // of the certificate that is served
	log      *slog.Logger  // the server's messages
	stderr   io.Writer     // where they go
	caught   signals

	turn chan struct{} // holds a value during a reload, and when the shutdown begins
}

// hangs is how long the shutdown waits for a reload, which may read from a disk that does not answer.
const hangs = time.Second

// untilSignal serves until a signal, or stop, ends the server.
func (r *running) untilSignal() error {
	end, err := r.startParts()
	if err != nil {
		return errors.Join(err, r.listener.Close())
	}
	defer end()
	r.flags.announce(r.stderr, r.listener.Addr(), r.server.TLSConfig.Certificates[0], r.paths, r.users)
	served := make(chan error, 1)
	go func() { served <- r.server.Serve(r.listener) }()
	if r.flags.console != nil {
		r.flags.console.greet() // before a signal says that it ends
		go r.flags.console.run(r.server, r.caught.stop)
	}
	for {
		select {
		case err := <-served:
			return errors.Join(err, r.shutdown())
		case <-r.caught.hup:
			go func() { _ = r.reload() }() // it logs the error
		case <-r.caught.stop:
			r.sayStopping()
			return r.shutdown()
		}
	}
}

// sayStopping prints that the shutdown begins. It ends the chat and restores the terminal, so that another Ctrl-C is a
// signal, which ends the running request.
func (r *running) sayStopping() {
	const text = "shutting down"
	if r.flags.console != nil && r.flags.console.isTerminal {
		r.flags.console.end(text)
		return
	}
	fmt.Fprintln(r.stderr, text)
}

// stop ends the server like SIGTERM. now is like a second SIGTERM, which cuts the running request off.
func (r *running) stop(now bool) {
	signals := []os.Signal{os.Interrupt}
	if now {
		signals = append(signals, os.Interrupt)
	}
	for _, s := range signals {
		select {
		case r.caught.stop <- s:
		default: // two wait already
		}
	}
}

// shutdown lets the running request end, within --shutdown-grace and until a second signal.
func (r *running) shutdown() error {
	r.server.StopSeating()
	select {
	case r.turn <- struct{}{}: // nothing is reloaded any more
	case <-time.After(hangs):
	}
	r.follow(follower.stopping)
	ctx, cancel := context.WithTimeout(context.Background(), r.flags.grace)
	defer cancel()
	go func() {
		select {
		case <-r.caught.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	r.letIn(ctx)
	if holder := r.server.Status().Holder; holder != nil && holder.Running == protocol.VerbStream {
		_ = r.server.Say(fmt.Sprintf("the server shuts down: this stream ends in %v", r.flags.grace))
	}
	if err := r.server.Shutdown(ctx); err != nil {
		r.log.Warn("a request was still running and was cut off")
		return r.server.Close()
	}
	return nil
}

// reload takes the certificate, the users and the log file anew, like SIGHUP. What can't be reloaded stays as it was.
func (r *running) reload() (err error) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	r.follow(follower.reloading)
	defer func() { r.follow(func(f follower) { f.reloaded(err) }) }()
	s := r.server
	err = errors.Join(r.reloadCertificate(), r.users.Reload(), s.Audit.Reopen(), r.flags.keep.reopen())
	s.Audit.Info("server.reload", "").Bool("ok", err == nil).Send()
	if err = errors.Join(err, s.Audit.Flush()); err != nil {
		r.log.Error("reload: what failed stays as it was", "error", strings.ReplaceAll(message(err), "\n", "; ")+advice(err))
		return err
	}
	r.log.Info("reloaded certificate, users and log file")
	return nil
}

// reloadForOperator is reload. It also returns an error if a line of the users is ignored.
func (r *running) reloadForOperator() error {
	if err := r.reload(); err != nil {
		return err
	}
	if faulty := r.users.Faults(); len(faulty) > 0 {
		return fmt.Errorf("reloaded, except for faulty lines of the users (%d): %w", len(faulty), faulty[0])
	}
	return nil
}

// reloadCertificate loads the certificate again and serves it.
func (r *running) reloadCertificate() error {
	r.certs.Check(time.Now()) // an expired one could not be loaded
	config, err := r.flags.loadCertificate(r.paths)
	if err == nil {
		err = r.server.SetTLSConfig(config)
	}
	if err == nil {
		r.certs.Serving(config.Certificates[0].Leaf)
		r.certs.Check(time.Now())
	}
	return err
}
