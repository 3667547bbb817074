package errorlog

import (
	"context"
	"log/slog"
	"testing"
)

// panicking panics in Enabled or in Handle.
type panicking struct {
	slog.Handler
	inEnabled bool
}

func (p panicking) Enabled(context.Context, slog.Level) bool {
	if p.inEnabled {
		panic("Enabled panics")
	}
	return true
}

func (panicking) Handle(context.Context, slog.Record) error { panic("Handle panics") }

func TestPanics(t *testing.T) {
	t.Parallel()
	for _, inEnabled := range []bool{true, false} {
		New(slog.New(panicking{slog.DiscardHandler, inEnabled})).Error("a message")
	}
	New(nil).Error("a message")
}
