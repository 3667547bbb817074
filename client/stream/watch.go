package stream

import "github.com/sallyport/sallyport/client"

// Watch returns a stream of the backend's output, for a Client of client.Dialer.Watch: first the earlier output that
// the server has kept, then all that follows, also after the backend was opened again. The notices of
// Client.Notices say that it is down, and that it is back. The client's direction has ended, so Write fails. Ping proves that the server is there, and Abort ends the stream. A program that reads too
// slowly gets the *protocol.ReplyError "421 too-slow". Call Watch before Client.Notices.
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
