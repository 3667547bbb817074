package capability

import (
	"fmt"
	"time"
)

// Status is what a server says of its seat, in STAT and in "421 busy".
type Status struct {
	Holder  string    // empty if nobody has the seat
	Since   time.Time // when the holder got the seat
	Active  time.Time // of the holder's last request, or of the last byte in its stream
	Waiting int       // number of clients in the queue
	Served  int       // number of sessions so far, the holder's included
	Started time.Time // of the server

	Watching int // number of watchers, which no text has
}

// String returns the lines of STAT.
func (s Status) String() string {
	seated := ""
	if s.Holder != "" {
		seated = fmt.Sprintf("holder %s\nsince %s\nidle %d\n", s.Holder, s.Since.Format(time.RFC3339), seconds(s.Active))
	}
	return fmt.Sprintf("%swaiting %d\nserved %d\nuptime %d", seated, s.Waiting, s.Served, seconds(s.Started))
}

// Busy returns a sentence on why the seat is taken. It has at most 100 bytes more than Holder.
func (s Status) Busy() string {
	return fmt.Sprintf("%s has had the seat since %s, waiting: %d", s.Holder, s.Since.Format(time.RFC3339), s.Waiting)
}

func seconds(since time.Time) int { return int(time.Since(since).Seconds()) }
