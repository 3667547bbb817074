package audit

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

const cutSuffix = ".cut-19700101T000001Z"

func appendTo(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// What is left of a long file has another name. It has none of the new lines.
func TestLongRestIsSetAside(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{Now: func() time.Time { return time.Unix(1, 0) }})
	l.Info("a", "").RawJSON("x", []byte(`"`+strings.Repeat("x", maxRepair+20_000)+`"`)).Send()
	record(t, l, "b", "c")
	head, size := l.Head(), int64(len(read(t, path)))
	rest := read(t, path)[:size-20]
	check(t, os.Truncate(path, size-20))
	record(t, l, "d")
	log := read(t, path)
	equal(t, "the first line", firstOf(t, log), rotation{"error", "log.rotate", truncated, head, size})
	holds(t, log, "log.rotate", "d")
	verify(t, log, l.Head())
	if read(t, path+cutSuffix) != rest {
		t.Error("the rest is not what was left")
	}
}

// What others write is taken out, wherever it is, and the log goes on.
func TestForeignLines(t *testing.T) {
	t.Parallel()
	const foreign = `{"event":"request","chain":"x"}` + "\n"
	for _, late := range []bool{false, true} {
		l, path := open(t, Options{})
		record(t, l, "a")
		do, not := sync.OnceFunc(func() { check(t, appendTo(path, foreign)) }), func() {}
		l.w = &hooked{l.file, do, not}
		if late {
			l.w = &hooked{l.file, not, do}
		}
		record(t, l, "b")
		l.w = l.file
		check(t, appendTo(path, "torn"))
		check(t, l.Reopen())
		record(t, l, "c")
		log := read(t, path)
		chained(t, log, "a", "log.repair", "b", "log.repair", "c")
		data := parsed[struct{ Data []byte }](t, log)
		equal(t, "what was written", string(data[1].Data)+string(data[3].Data), foreign+"torn")
	}
}

// What others write is kept only as far as it fits a record.
func TestMuchForeignText(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	check(t, appendTo(path, strings.Repeat("x", maxRepair+1<<20)))
	record(t, l, "b")
	log := read(t, path)
	chained(t, log, "a", "log.repair", "b")
	equal(t, "kept", len(parsed[struct{ Data []byte }](t, log)[1].Data), maxRepair)
}

// A file that was moved away without a Reopen in time is told of, once.
func TestMoveWithoutReopen(t *testing.T) {
	t.Parallel()
	for _, reopened := range []bool{false, true} {
		now := time.Unix(1, 0)
		l, path := open(t, Options{Now: func() time.Time { return now }})
		record(t, l, "a")
		size := int64(len(read(t, path)))
		check(t, os.Rename(path, path+".1"))
		record(t, l, "b")
		now = now.Add(signalWait - 1)
		record(t, l, "c")
		want := []string{"log.rotate", "b", "c", "d", "log.rotate", "e"}
		if reopened {
			check(t, l.Reopen())
			want = []string{"log.rotate", "b", "c", "d", "e"}
		}
		now = now.Add(1)
		record(t, l, "d")
		now = now.Add(time.Hour)
		record(t, l, "e")
		log := read(t, path)
		holds(t, log, want...)
		verify(t, log, l.Head())
		if said := parsed[rotation](t, log)[4]; !reopened && (said.Level != "error" || said.Why != vanished || said.Size != size) {
			t.Errorf("%+v", said)
		}
	}
}
