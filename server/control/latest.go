package control

import (
	"sync"
	"time"
)

// latest has the last result of a call that may block.
type latest[T any] struct {
	call func() T

	mu      sync.Mutex
	value   T
	began   time.Time     // when the running call began
	running chan struct{} // closed when the running call has ended, nil for none
}

// get begins a call, or joins the running one, and waits until atMost after its beginning. Without a result by then, it
// returns the last one, and for how long the call has run.
func (l *latest[T]) get(atMost time.Duration) (value T, stuck time.Duration) {
	l.mu.Lock()
	if l.running == nil {
		l.running, l.began = make(chan struct{}), time.Now()
		go l.run(l.running)
	}
	running, began := l.running, l.began
	l.mu.Unlock()
	timer := time.NewTimer(atMost - time.Since(began))
	defer timer.Stop()
	select {
	case <-running:
	case <-timer.C:
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.running == running {
		stuck = time.Since(began)
	}
	return l.value, stuck
}

func (l *latest[T]) run(done chan struct{}) {
	value := l.call()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.value, l.running = value, nil
	close(done)
}
