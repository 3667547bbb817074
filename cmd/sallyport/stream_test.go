package main

import "testing"

func TestPanicRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	restored := false
	j := &joint{restore: func() { restored = true }}
	if j.guard(func() {}); restored {
		t.Error("restored without a panic")
	}
	defer func() {
		if p := recover(); p != "fault" || !restored {
			t.Error(p, restored)
		}
	}()
	j.guard(func() { panic("fault") })
}
