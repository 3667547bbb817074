package server

import (
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/server/socket"
	"github.com/sallyport/sallyport/server/watch"
)

// watcher is the watch.Client of a connection that sees what the backend says, and has no seat.
type watcher struct{ *conn }

// watch serves a watcher until either side ends it, and returns why.
func (w watcher) watch() error {
	feed, err := w.srv.Watch(w)
	if err != nil {
		return err
	}
	w.srv.seat.watch(w.conn)
	defer w.srv.seat.watch(w.conn)
	w.srv.Audit.Info("watch.open", w.id).Str("user", w.user).Send()
	w.reply(protocol.Reply{Code: protocol.CodeStreaming, Text: "stream"})
	sent, err := feed.Show()
	w.srv.Audit.Info("watch.close", w.id).Int64("bytes_out", sent).Send()
	if w.raw.Has(flagEvicted) {
		return w.evicted() // whatever has failed then
	}
	return lineError(err)
}

func (w watcher) Wake() { w.raw.Wake(flagNotice) }
func (w watcher) Drop() { w.evict(&eviction{watch.ErrTooSlow, w.user}) }

func (w watcher) Send(p []byte) error {
	w.out = append(w.out, p...)
	return w.flush()
}

func (w watcher) ReadLine() ([]byte, error) {
	line, err := w.line(time.Time{})
	switch flags := w.raw.Flags.And(^flagNotice); {
	case flags&(flagEvicted|flagShutdown) != 0:
		return nil, errShutdown // or evicted, see watch
	case errors.Is(err, socket.ErrWoken):
		return nil, nil
	case strings.EqualFold(string(line), protocol.VerbQuit):
		w.reply(bye)
		return nil, errQuit
	}
	return line, err
}
