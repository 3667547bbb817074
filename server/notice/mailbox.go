package notice

import "sync"

// maxUnread bounds the messages for a client that doesn't read.
const maxUnread = 64

// Mailbox holds the messages for a client that were not sent so far. It is safe for concurrent use.
type Mailbox struct {
	mu     sync.Mutex
	unread []string
	closed bool
}

// Post adds a message. It reports false if the mailbox is full or closed.
func (m *Mailbox) Post(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed || len(m.unread) >= maxUnread {
		return false
	}
	m.unread = append(m.unread, text)
	return true
}

// Take removes the messages and returns them.
func (m *Mailbox) Take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	unread := m.unread
	m.unread = nil
	return unread
}

// Close makes the mailbox take no more messages. Take still returns the earlier ones.
func (m *Mailbox) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
}
