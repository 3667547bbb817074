package audit

import "fmt"

const (
	// spaceEvery is how often the log looks for free space, in seconds.
	spaceEvery = 5
	// leastSpace and mostSpace bound what counts as little space: 1 % of the disk in between.
	leastSpace, mostSpace = 64 << 20, 1 << 30
)

// watchSpace notes that the disk is nearly full. It notes it again only after the free space was a quarter
// above the bound in the meantime.
func (l *Log) watchSpace() {
	now := l.last.Load()
	if l.file == nil || now == nil || now.unix-l.looked < spaceEvery && now.unix >= l.looked {
		return
	}
	l.looked = now.unix
	free, size, err := l.disk(l.file)
	if err != nil {
		return
	}
	little := min(max(size/100, leastSpace), mostSpace)
	switch {
	case l.low:
		l.low = free < little+little/4
	case free < little:
		l.low = true
		l.note("warn", "log.space", fmt.Sprintf(`"free":%d`, free))
		if l.opts.Low != nil {
			l.opts.Low(free)
		}
	}
}
