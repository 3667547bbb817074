package metrics

import (
	"sync"
	"time"
)

// patience bounds the wait for an answer that a disk may delay.
const patience = time.Second

// patient asks for something that may hang. Until an answer comes, it doesn't ask again.
type patient[T any] struct {
	ask func() T

	mu      sync.Mutex
	pending *question[T] // nil: no answer is awaited
}

type question[T any] struct {
	done   chan struct{} // closed when answer is set
	answer T
}

// get returns the answer, or false if it takes longer than patience.
func (p *patient[T]) get() (answer T, ok bool) {
	q := p.question()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case <-q.done:
		return q.answer, true
	case <-late.C:
		return answer, false
	}
}

// question returns the pending question, or asks a new one.
func (p *patient[T]) question() *question[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending == nil {
		q := &question[T]{done: make(chan struct{})}
		p.pending = q
		go func() {
			q.answer = p.ask()
			p.mu.Lock()
			defer p.mu.Unlock()
			p.pending = nil
			close(q.done)
		}()
	}
	return p.pending
}
