// Package errorlog keeps a program alive when the handler of a slog.Logger panics.
package errorlog

import (
	"context"
	"fmt"
	"log/slog"
)

// New returns a logger that passes records on to l. If the handler of l panics, the record is lost. A nil l
// discards all records.
func New(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(handler{l.Handler()})
}

type handler struct{ inner slog.Handler }

func (h handler) Enabled(ctx context.Context, level slog.Level) (enabled bool) {
	defer func() { _ = recover() }()
	return h.inner.Enabled(ctx, level)
}

func (h handler) Handle(ctx context.Context, r slog.Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the handler panicked: %v", p)
		}
	}()
	return h.inner.Handle(ctx, r)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler { return handler{h.inner.WithAttrs(attrs)} }

func (h handler) WithGroup(name string) slog.Handler { return handler{h.inner.WithGroup(name)} }
