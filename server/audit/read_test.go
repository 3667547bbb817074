package audit

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// gzipped compresses a text.
func gzipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := io.WriteString(w, text)
	check(t, errors.Join(err, w.Close()))
	return out.String()
}

func TestLines(t *testing.T) {
	t.Parallel()
	disk := errors.New("disk on fire")
	a, b := `{"time":"1"}`+"\n", `{"time":"2"}`+"\n"
	packed := gzipped(t, a+b)
	for name, c := range map[string]struct {
		log  io.Reader
		want []string
		err  error
	}{
		"nothing":              {strings.NewReader(""), nil, nil},
		"nothing, packed":      {strings.NewReader(gzipped(t, "")), nil, nil},
		"two lines":            {strings.NewReader(a + b), []string{a, b}, nil},
		"byte by byte":         {iotest.OneByteReader(strings.NewReader(a + b)), []string{a, b}, nil},
		"packed":               {strings.NewReader(packed), []string{a, b}, nil},
		"packed, one by one":   {iotest.OneByteReader(strings.NewReader(packed + packed)), []string{a, b, a, b}, nil},
		"packed, cut":          {strings.NewReader(packed[:len(packed)-8]), []string{a, b, ""}, io.ErrUnexpectedEOF},
		"packed, no more":      {strings.NewReader(packed[:4]), []string{""}, io.ErrUnexpectedEOF},
		"torn":                 {strings.NewReader(a + b[:5]), []string{a, b[:5]}, ErrTorn},
		"torn at once":         {strings.NewReader(a[:10]), []string{a[:10]}, ErrTorn},
		"unreadable":           {io.MultiReader(strings.NewReader(a+b[:5]), iotest.ErrReader(disk)), []string{a, b[:5]}, disk},
		"something in between": {strings.NewReader("x\n" + a + "\x00\n"), []string{"x\n", a, "\x00\n"}, nil},
		"a text":               {strings.NewReader("some\ntext with {\"time\":\"1\"}\n"), []string{""}, ErrNotLog},
		"a text, packed":       {strings.NewReader(gzipped(t, "some\ntext\n")), []string{""}, ErrNotLog},
		"another log":          {strings.NewReader(`{"level":"info","time":"1"}` + "\n"), []string{""}, ErrNotLog},
		"zero bytes":           {strings.NewReader(strings.Repeat("\x00", 1<<20) + "\n" + a), []string{""}, ErrNotLog},
	} {
		var got []string
		var err error
		for line, e := range Lines(c.log) {
			got, err = append(got, string(line)), e
		}
		equal(t, name, got, c.want)
		is(t, name, err, c.err)
	}
}

func TestLinesAreBounded(t *testing.T) {
	t.Parallel()
	start := `{"time":"`
	for length, want := range map[int]error{MaxLine: nil, MaxLine + 1: ErrTooLong} {
		log := start + strings.Repeat("x", length-len(start)-1) + "\n"
		for _, text := range []string{log, gzipped(t, log)} {
			var got error
			for _, err := range Lines(strings.NewReader(text)) {
				got = err
			}
			equal(t, "error", got, want)
		}
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l, path := open(t, Options{})
		record(t, l, "a")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		log, err := Follow(ctx, path)
		check(t, err)
		defer log.Close()

		var out bytes.Buffer
		ended := make(chan error)
		go func() {
			_, err := io.Copy(&out, log)
			ended <- err
		}()
		expect := func(names ...string) {
			t.Helper()
			time.Sleep(time.Second) // synthetic
			synctest.Wait()
			holds(t, out.String(), names...)
		}
		expect("a")
		record(t, l, "b", "c")
		expect("a", "b", "c")
		check(t, os.Rename(path, path+".1"))
		l.Info("d", "").Send()
		check(t, l.Reopen())
		record(t, l, "e")
		expect("a", "b", "c", "d", "log.rotate", "e")
		equal(t, "text", out.String(), read(t, path+".1")+read(t, path))
		check(t, os.Truncate(path, 0))
		expect("a", "b", "c", "d", "log.rotate", "e")
		record(t, l, "f")
		expect("a", "b", "c", "d", "log.rotate", "e", "log.rotate", "f")
		stop()
		check(t, <-ended)
	})
	_, err := Follow(t.Context(), filepath.Join(t.TempDir(), "none"))
	is(t, "Follow without a file", err, os.ErrNotExist)
}

// Wherever a compressed log was cut, that is the error, and not that it is no log.
func TestCutGzip(t *testing.T) {
	t.Parallel()
	packed := gzipped(t, `{"time":"1","level":"info"}`+"\n")
	for n := 10; n < len(packed); n++ {
		var last error
		for _, err := range Lines(strings.NewReader(packed[:n])) {
			last = err
		}
		if !errors.Is(last, io.ErrUnexpectedEOF) {
			t.Errorf("%d of %d bytes: %v", n, len(packed), last)
		}
	}
}
