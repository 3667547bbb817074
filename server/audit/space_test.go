package audit

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// onDisk opens a log on a disk with this size. The caller changes its free space and the time.
func onDisk(t *testing.T, size int64) (l *Log, path string, free *int64, now *time.Time, warned *[]int64) {
	t.Helper()
	free, now, warned = new(int64), new(time.Time), &[]int64{}
	*now = clock()
	l, path = open(t, Options{
		Now: func() time.Time { return *now },
		Low: func(free int64) { *warned = append(*warned, free) },
	})
	l.disk = func(*os.File) (int64, int64, error) { return *free, size, nil }
	return l, path, free, now, warned
}

func TestLittleSpace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ size, little int64 }{
		"small disk": {100 << 20, 64 << 20},
		"disk":       {10 << 30, 10 << 30 / 100},
		"large disk": {1 << 42, 1 << 30},
	} {
		l, path, free, now, warned := onDisk(t, c.size)
		steps := []struct {
			after time.Duration
			free  int64
			warns bool
		}{
			{0, c.little, false},
			{5 * time.Second, c.little - 1, true},
			{5 * time.Second, 1, false},                     // once
			{5 * time.Second, c.little, false},              // hardly better
			{5 * time.Second, c.little - 1, false},          // so this is nothing new
			{5 * time.Second, c.little + c.little/4, false}, // better
			{4 * time.Second, 0, false},                     // too soon to look again
			{time.Second, 0, true},                          // again
			{-time.Hour, c.little * 2, false},               // a clock that goes back
			{5 * time.Second, c.little - 2, true},
		}
		want := []int64{}
		for n, step := range steps {
			*now, *free = now.Add(step.after), step.free
			record(t, l, "a")
			if step.warns {
				want = append(want, step.free)
			}
			equal(t, fmt.Sprintf("%s, step %d", name, n), *warned, want)
		}
		log := read(t, path)
		verify(t, log, l.Head())
		equal(t, name, strings.Count(log, fmt.Sprintf(`"level":"warn","event":"log.space","free":%d,`, c.little-1)), 1)
		equal(t, name, strings.Count(log, `"log.space"`), len(want))
	}
}

// The disk of a file has a size, and the log looks at that of its own file.
func TestDisk(t *testing.T) {
	t.Parallel()
	l, _ := open(t, Options{})
	free, size, err := l.disk(l.file)
	if err != nil || free < 0 || size < free || size < 1<<20 {
		t.Fatalf("%d of %d bytes are free, %v", free, size, err)
	}
}
