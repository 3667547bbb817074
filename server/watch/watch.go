// Package watch shows a backend's output to clients that have no seat. The backend's reader passes all that it reads to
// [Crowd.Say], which waits for no client, and calls [Crowd.Down] and [Crowd.Back]. [Crowd.Join] adds a client, and [Feed.Show] serves it. Nothing that a
// watcher sends reaches the backend: it may say QUIT and PING.
package watch

import (
	"fmt"
	"sync"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/protocol/piece"
)

// Behind is how many bytes a watcher may be behind the backend. It is dropped beyond that.
const Behind = 1 << 20

var (
	// ErrTooSlow is the reply to a watcher that is too far behind.
	ErrTooSlow = &protocol.ReplyError{
		Code: protocol.CodeClosing, Keyword: protocol.KeywordTooSlow, Text: "you are too slow for what the backend says",
	}
	errCommand = &protocol.ReplyError{
		Code: protocol.CodeSequence, Keyword: protocol.KeywordSequence, Text: "a watcher may send PING and QUIT",
	}
)

// A Crowd is all watchers of one backend. It is safe for concurrent use.
type Crowd struct {
	// Max is the maximum number of watchers. Zero means that there are none.
	Max int

	mu     sync.Mutex
	count  int
	feeds  map[*Feed]struct{} // of watchers that are not too far behind
	isDown bool
}

// Client is the connection to a watcher. Wake and Drop may be called by any goroutine, and must not block.
type Client interface {
	// ReadLine returns the client's next line, or nil after Wake. After Drop it fails.
	ReadLine() ([]byte, error)
	Send(p []byte) error
	// Wake says that the feed has something new, and Drop that the watcher is too slow and gets nothing more.
	Wake()
	Drop()
}

// Say passes p to each watcher, and drops a watcher that is too far behind. It doesn't block, and doesn't keep p.
func (c *Crowd) Say(p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for f := range c.feeds {
		if len(f.unread)+len(p) > Behind {
			delete(c.feeds, f)
			f.backlog, f.unread = nil, nil
			f.client.Drop()
			continue
		}
		f.unread = append(f.unread, p...)
		f.client.Wake()
	}
}

// Down says that the backend is not open. Each watcher gets a 150 behind what the backend has said, also one that joins
// before Back. It doesn't block.
func (c *Crowd) Down() { c.note(true) }

// Back says that the backend is open. It does nothing unless the backend was down.
func (c *Crowd) Back() { c.note(false) }

func (c *Crowd) note(isDown bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isDown == isDown {
		return
	}
	c.isDown = isDown
	for f := range c.feeds {
		f.client.Wake()
	}
}

// Join adds a watcher, whose feed begins with the backlog. The error is the reply "421 busy" if there are too many.
func (c *Crowd) Join(client Client, backlog []byte) (*Feed, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count >= c.Max {
		text := fmt.Sprintf("%d watch already, and no more may", c.count)
		return nil, &protocol.ReplyError{Code: protocol.CodeClosing, Keyword: protocol.KeywordBusy, Text: text}
	}
	f := &Feed{crowd: c, client: client, backlog: backlog}
	if c.feeds == nil {
		c.feeds = map[*Feed]struct{}{}
	}
	c.count++
	c.feeds[f] = struct{}{}
	return f, nil
}

func (c *Crowd) leave(f *Feed) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.feeds, f)
	c.count--
}

// A Feed is the output for one watcher.
type Feed struct {
	crowd           *Crowd
	client          Client
	backlog, unread []byte // guarded by crowd.mu
	isDown          bool   // the client knows that the backend is down
}

// Show sends the feed in pieces and answers PING, until an error of the client. Call it once. It returns the number of
// the backend's bytes that it has sent, and the error.
func (f *Feed) Show() (sent int64, err error) {
	defer f.crowd.leave(f)
	for buf := make([]byte, piece.Max); ; {
		n := f.next(buf[piece.MaxHeader:])
		if n == 0 {
			if err = f.attend(); err != nil {
				return sent, err
			}
			continue
		}
		var header [piece.MaxHeader]byte
		line := piece.AppendHeader(header[:0], n)
		start := piece.MaxHeader - copy(buf[piece.MaxHeader-len(line):], line)
		if err = f.client.Send(buf[start : piece.MaxHeader+n]); err != nil {
			return sent, err
		}
		sent += int64(n)
	}
}

// attend sends news, if there are any. Otherwise it waits for the client's next line, or for a wake.
func (f *Feed) attend() error {
	if news := f.news(); news != "" {
		return f.client.Send(fmt.Appendf(nil, "%d %s\r\n", protocol.CodeMessage, news))
	}
	line, err := f.client.ReadLine()
	if line == nil || err != nil {
		return err
	}
	if m, err := piece.Parse(line); err != nil || m.Verb != protocol.VerbPing {
		return errCommand
	}
	return f.client.Send(piece.AppendTaken(nil, 0))
}

// news returns what the client doesn't know yet about the backend, or "".
func (f *Feed) news() string {
	f.crowd.mu.Lock()
	defer f.crowd.mu.Unlock()
	switch known := f.isDown; {
	case known == f.crowd.isDown:
		return ""
	case known:
		f.isDown = false
		return "the backend is back"
	}
	f.isDown = true
	return "the backend is down"
}

// next moves bytes of the feed to p, and returns their number. It doesn't wait.
func (f *Feed) next(p []byte) (n int) {
	f.crowd.mu.Lock()
	defer f.crowd.mu.Unlock()
	n = copy(p, f.backlog)
	if f.backlog = f.backlog[n:]; n > 0 {
		return n
	}
	n = copy(p, f.unread)
	if f.unread = f.unread[n:]; len(f.unread) == 0 {
		f.unread = nil // an idle watcher has no buffer
	}
	return n
}
