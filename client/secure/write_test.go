package secure

import (
	"errors"
	"net"
	"slices"
	"testing"
)

// sink notes what is written, and fails after a number of writes.
type sink struct {
	net.Conn
	got  []string
	fail int
}

var errFull = errors.New("full")

func (s *sink) Write(p []byte) (int, error) {
	if len(s.got) == s.fail {
		return 0, errFull
	}
	s.got = append(s.got, string(p))
	return len(p), nil
}

// Records that are held back are one write, behind those before them and in front of those after them.
func TestHeldRecords(t *testing.T) {
	t.Parallel()
	out := &sink{fail: -1}
	c := &strict{Conn: out}
	write := func(text string) {
		if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatal(n, err)
		}
	}
	write("a")
	c.setHolding(true)
	write("b")
	write("c")
	if err := c.setHolding(false); err != nil {
		t.Fatal(err)
	}
	write("d")
	if want := []string{"a", "bc", "d"}; !slices.Equal(out.got, want) {
		t.Errorf("%q, not %q", out.got, want)
	}
}

// A write that fails is the error of its call and of all later ones, because a record is missing.
func TestHeldRecordsThatFail(t *testing.T) {
	t.Parallel()
	out := &sink{fail: 0}
	c := &strict{Conn: out}
	c.setHolding(true)
	if _, err := c.Write([]byte("lost")); err != nil {
		t.Fatal(err)
	}
	if err := c.setHolding(false); !errors.Is(err, errFull) {
		t.Error(err)
	}
	out.fail = -1
	if _, err := c.Write([]byte("next")); !errors.Is(err, errFull) || len(out.got) > 0 {
		t.Errorf("%v, %q", err, out.got)
	}
}
