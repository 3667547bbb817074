package stream

import "github.com/sallyport/sallyport/client"

// Watch returns what the backend says to a Client of client.Dialer.Watch: first what it has said before, then all that
// follows, also after the backend was opened again. The client's direction has ended, so Write fails. Ping proves that
// the server is there, and Abort ends the stream. A Read that falls behind is ended by the server, with the
// *protocol.ReplyError "421 too-slow". Call Watch before Client.Notices.
func Watch(c *client.Client) *Stream {
	s := newStream(c)
	s.watches, s.finished = true, true
	s.window.close()
	close(s.joined)
	queued := make(chan struct{})
	go s.run("", func() { close(queued) })
	<-queued
	return s
}
