package users_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/server/state/durable"
	"github.com/sallyport/sallyport/server/users"
)

// fails checks that no name can be looked up, known or not.
func fails(t *testing.T, s *users.Store) {
	t.Helper()
	for _, name := range []string{"alice", "mallory"} {
		if v, known, err := s.Lookup(name); err == nil || known || len(v.Salt) == 0 {
			t.Errorf("%q: known %v, %v", name, known, err)
		}
	}
}

// told checks how many reports there are since the last time, each with a text.
func told(t *testing.T, r *reports, n int, text string) {
	t.Helper()
	all := r.take()
	for _, report := range all {
		if !strings.Contains(report, text) {
			t.Errorf("reported: %q", report)
		}
	}
	if len(all) != n {
		t.Errorf("%d reports, want %d: %q", len(all), n, all)
	}
}

func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	path, v := newFile(t, "alice:"+verifier(t, 1).String()+"\n"), verifier(t, 1)
	hide := func(t *testing.T) { // a directory stands in for a file that can't be read
		t.Helper()
		noError(t, errors.Join(os.Rename(path, path+"-away"), os.Mkdir(path, 0o700)))
	}
	show := func(t *testing.T) {
		t.Helper()
		noError(t, errors.Join(os.Remove(path), os.Rename(path+"-away", path)))
	}
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t, path)
		began := time.Now()
		hide(t)
		for range 2 {
			for range 3 {
				knows(t, s, "alice", v)
				ignores(t, s, "mallory")
			}
			time.Sleep(59 * time.Second)
			ignores(t, s, "mallory")
			told(t, r, 1, "the users of the last reading count until "+began.Add(10*time.Minute).Format(time.TimeOnly))
			time.Sleep(time.Second)
		}
		if err := s.Reload(); err == nil {
			t.Error("Reload has read a directory")
		}
		time.Sleep(time.Until(began.Add(10*time.Minute - 1)))
		knows(t, s, "alice", v)
		time.Sleep(time.Nanosecond)
		r.take()
		fails(t, s)
		show(t)
		knows(t, s, "alice", v)

		hide(t) // the ten minutes begin again
		knows(t, s, "alice", v)
		r.take()
		show(t)
		knows(t, s, "alice", v)
		noError(t, os.Truncate(path, 64<<20+1))
		time.Sleep(time.Minute)
		knows(t, s, "alice", v)
		told(t, r, 1, durable.ErrTooLarge.Error())
	})
	if _, err := users.Open(path, secret, nil); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("a huge file: %v", err)
	}
}

func TestMissingFile(t *testing.T) {
	t.Parallel()
	v := verifier(t, 1)
	path := newFile(t, "alice:"+v.String()+"\n")
	if s, err := users.Open(path+"-none", secret, nil); s != nil || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening a missing file: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		s, r := open(t, path)
		noError(t, os.Rename(path, path+"-away"))
		for range 3 {
			ignores(t, s, "alice")
		}
		told(t, r, 1, path)
		if err := s.Reload(); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Reload: %v", err)
		}
		noError(t, os.Mkdir(path, 0o700))
		fails(t, s) // nothing was read last
		noError(t, errors.Join(os.Remove(path), os.Rename(path+"-away", path)))
		knows(t, s, "alice", v)
	})
}

// Editors on Windows end lines in CRLF, and may begin a file with a byte order mark.
func TestFileOfWindows(t *testing.T) {
	t.Parallel()
	first, second := verifier(t, 1), verifier(t, 2)
	before := "\ufeffalice:" + first.String() + "\r\n# comment\r\n\r\nbob:" + second.String()
	path := newFile(t, before)
	s, r := open(t, path)
	knows(t, s, "alice", first)
	knows(t, s, "bob", second)
	noError(t, errors.Join(users.Add(path, "carol", "pencil", 4096), users.Remove(path, "carol")))
	after, err := os.ReadFile(path)
	noError(t, err)
	if string(after) != before+"\n" {
		t.Errorf("another edit changed the lines: %q", after)
	}
	noError(t, users.Remove(path, "alice"))
	ignores(t, s, "alice")
	knows(t, s, "bob", second)
	told(t, r, 0, "")
	noError(t, os.WriteFile(path, []byte("alice:"+first.String()+"\n\ufeffbob:"+second.String()), 0o600))
	ignores(t, s, "bob")
	told(t, r, 1, ":2: ")
}

func TestReasons(t *testing.T) {
	t.Parallel()
	v := verifier(t, 1).String()
	for line, reason := range map[string]string{
		"alice":                 "no colon follows the name",
		"alice:pencil":          "no SCRAM-SHA-256 verifier follows the name",
		"alice:" + v[:len(v)-1]: "the verifier does not have the form of RFC 5803",
		"alice:" + v + " ":      "white space follows the verifier",
		"alice:" + v + "\r\r":   "white space follows the verifier",
	} {
		_, err := users.List(newFile(t, line+"\n"))
		if err == nil || !strings.HasSuffix(err.Error(), ": "+reason) {
			t.Errorf("%q: %v", line, err)
		}
	}
	for _, iterations := range []string{"0", "4095", "1000001", "2147483648", "9223372036854775808", "-1"} {
		_, err := users.List(newFile(t, "alice:"+strings.Replace(v, "$4096:", "$"+iterations+":", 1)))
		if err == nil || !strings.HasSuffix(err.Error(), ": the verifier's iterations are not from 4096 to 1000000") {
			t.Errorf("%s iterations: %v", iterations, err)
		}
	}
}
