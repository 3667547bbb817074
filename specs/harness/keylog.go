package harness

import (
	"bytes"
	"sync"
)

// KeyLog is a TLS key log in memory, as tls.Config.KeyLogWriter has it: a line
// for each secret, LABEL CLIENT-RANDOM SECRET, in hex.
type KeyLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line from crypto/tls.
func (k *KeyLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(p)
}

// Bytes is the key log so far.
func (k *KeyLog) Bytes() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.text.Bytes())
}
