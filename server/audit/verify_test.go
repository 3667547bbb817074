package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"
)

// sample returns a log of five lines, and their chain values.
func sample(t testing.TB) (lines, heads []string) {
	var out bytes.Buffer
	l := New(&out, Options{Now: clock})
	for _, event := range []string{"server.start", "conn.accept", "login.ok", "request", "server.stop"} {
		l.Info(event, "c1").Str("user", "alice").Send()
		check(t, l.Flush())
		heads = append(heads, l.Head())
	}
	return strings.SplitAfter(strings.TrimSuffix(out.String(), "\n"), "\n"), heads
}

func TestVerify(t *testing.T) {
	t.Parallel()
	lines, heads := sample(t)
	lines[4] += "\n"
	all := strings.Join(lines, "")
	join := func(parts ...string) string { return strings.Join(parts, "") }
	rechained := func(body string) string {
		sum := sha256.Sum256([]byte(heads[4] + body))
		return body + `,"chain":"` + hex.EncodeToString(sum[:]) + "\"}\n"
	}
	for name, c := range map[string]struct {
		log, head string
		want      string
		is        error
	}{
		"untouched":          {all, "", "", nil},
		"untouched, head":    {all, heads[4], "", nil},
		"grown since":        {all, heads[1], "", nil},
		"empty":              {"", "", "", nil},
		"empty, head of it":  {"", zeros, "", nil},
		"one more":           {all + rechained(`{"a":1`), heads[4], "", nil},
		"edited":             {strings.Replace(all, "login.ok", "login.xx", 1), "", "log:3: ", ErrMismatch},
		"edited, first":      {strings.Replace(all, "server.start", "server.begun", 1), "", "log:1: ", ErrMismatch},
		"edited, last":       {strings.Replace(all, "server.stop", "server.quit", 1), "", "log:5: ", ErrMismatch},
		"white space":        {strings.Replace(all, `,"level"`, `, "level"`, 1), "", "log:1: ", ErrMismatch},
		"dropped":            {join(lines[0], lines[1], lines[3], lines[4]), "", "log:3: ", ErrMismatch},
		"dropped, first":     {join(lines[1:]...), "", "log:1: ", ErrMismatch},
		"swapped":            {join(lines[0], lines[2], lines[1], lines[3], lines[4]), "", "log:2: ", ErrMismatch},
		"doubled":            {join(lines[0], lines[0], lines[1]), "", "log:2: ", ErrMismatch},
		"inserted":           {join(lines[0], lines[4], lines[1]), "", "log:2: ", ErrMismatch},
		"appended":           {all + `{"a":1,"chain":"` + zeros + "\"}\n", "", "log:6: ", ErrMismatch},
		"cut, unknown":       {join(lines[:3]...), "", "", nil},
		"cut":                {join(lines[:3]...), heads[4], "log:3: ", ErrNoHead},
		"cut to nothing":     {"", heads[4], "log:1: ", ErrNoHead},
		"head in capitals":   {all, strings.ToUpper(heads[4]), "log:5: ", ErrNoHead},
		"torn":               {all[:len(all)-1], "", "log:5: ", ErrTorn},
		"torn in the middle": {all[:len(all)-40], "", "log:5: ", ErrTorn},
		"no JSON":            {join(lines[0], "hello\n", lines[1]), "", "log:2: ", ErrNotJSON},
		"empty line":         {join(lines[0], "\n", lines[1]), "", "log:2: ", ErrNotJSON},
		"array":              {all + "[1]\n", "", "log:6: ", ErrNotJSON},
		"no log":             {"[1]\n", "", "log:1: ", ErrNotLog},
		"JSON, not quite":    {all + rechained(`{"a":01`), "", "log:6: ", ErrNotJSON},
		"two values":         {all + rechained(`{"a":1}{"b":2`), "", "log:6: ", ErrNotJSON},
		"no chain":           {all + "{\"a\":1}\n", "", "log:6: ", ErrNoChain},
		"chain not last":     {all + `{"chain":"` + zeros + "\",\"a\":1}\n", "", "log:6: ", ErrNoChain},
		"chain in capitals":  {strings.Replace(all, heads[4], strings.ToUpper(heads[4]), 1), "", "log:5: ", ErrNoChain},
		"CRLF":               {strings.ReplaceAll(all, "\n", "\r\n"), "", "log:1: ", ErrNoChain},
		"long line":          {all + `{"a":"` + strings.Repeat("x", MaxLine) + "\"}\n", "", "log:6: ", ErrTooLong},
		"head in the middle": {all + rechained(`{"a":1,"head":"`+zeros+`"`), "", "", nil},
		"head in front":      {join(rechained(`{"a":1,"head":"`+heads[4]+`"`), lines[1]), "", "log:2: ", ErrMismatch},
	} {
		rep, err := Verify(strings.NewReader(c.log), "log", c.head)
		if !errors.Is(err, c.is) || err != nil && err.Error() != c.want+c.is.Error() {
			t.Errorf("%s: %v", name, err)
		}
		if whole := strings.Count(c.log, "\n"); err == nil && rep.Lines != whole {
			t.Errorf("%s: %d lines, not %d", name, rep.Lines, whole)
		}
	}
}

// rotated returns a log of three files with two lines each beside log.rotate, and the head of each.
func rotated(t *testing.T) (texts, heads []string) {
	t.Helper()
	l, path := open(t, Options{})
	for range 3 {
		record(t, l, "a", "b")
		texts, heads = append(texts, read(t, path)), append(heads, l.Head())
		check(t, os.Rename(path, path+l.Head()))
		check(t, l.Reopen())
	}
	return texts, heads
}

func TestVerifyFiles(t *testing.T) {
	t.Parallel()
	texts, heads := rotated(t)
	lines := func(text string) []string { return strings.SplitAfter(text, "\n") }
	var other bytes.Buffer
	record(t, New(&other, Options{}), "other", "chain")
	a, b, c := texts[0], texts[1], texts[2]
	for name, x := range map[string]struct {
		files []string
		head  string
		want  Report
		fault string
		is    error
	}{
		"all":                 {[]string{a, b, c}, "", Report{8, heads[2], "", Loss{}}, "", nil},
		"all, packed":         {[]string{gzipped(t, a), gzipped(t, b), c}, "", Report{8, heads[2], "", Loss{}}, "", nil},
		"all, head":           {[]string{a, b, c}, heads[2], Report{8, heads[2], "", Loss{}}, "", nil},
		"all, head of an old": {[]string{a, b, c}, heads[0], Report{8, heads[2], "", Loss{}}, "", nil},
		"without the oldest":  {[]string{b, c}, "", Report{6, heads[2], heads[0], Loss{}}, "", nil},
		"empty ones":          {[]string{"", a, "", b, ""}, heads[1], Report{5, heads[1], "", Loss{}}, "", nil},
		"split in a file":     {[]string{lines(a)[0], lines(a)[1]}, heads[0], Report{2, heads[0], "", Loss{}}, "", nil},
		"none":                {nil, "", Report{0, zeros, "", Loss{}}, "", nil},
		"missing":             {[]string{a, c}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", ErrGap},
		"swapped":             {[]string{b, a, c}, "", Report{3, heads[1], heads[0], Loss{}}, "1:1: ", ErrGap},
		"doubled":             {[]string{a, a}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", ErrGap},
		"newest first":        {[]string{c, b, a}, "", Report{3, heads[2], heads[1], Loss{}}, "1:1: ", ErrGap},
		"another log's":       {[]string{a, other.String()}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", ErrGap},
		"tail of one cut":     {[]string{a, lines(b)[0], c}, "", Report{}, "2:1: ", ErrGap},
		"edited in an old":    {[]string{a, strings.Replace(b, `"a"`, `"x"`, 1), c}, "", Report{}, "1:2: ", ErrMismatch},
		"edited at the joint": {[]string{a, strings.Replace(b, "signal", "nobody", 1), c}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", ErrGap},
		"torn in the middle":  {[]string{a, b[:len(b)-1], c}, "", Report{}, "1:3: ", ErrTorn},
		"packed, cut":         {[]string{a, gzipped(t, b)[:60], c}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", io.ErrUnexpectedEOF},
		"no log in between":   {[]string{a, "hello\n", c}, "", Report{2, heads[0], "", Loss{}}, "1:1: ", ErrNotLog},
		"newest missing":      {[]string{a, b}, heads[2], Report{5, heads[1], "", Loss{}}, "1:3: ", ErrNoHead},
		"newest missing, any": {[]string{a, b}, "", Report{5, heads[1], "", Loss{}}, "", nil},
	} {
		var files []File
		for n, text := range x.files {
			files = append(files, File{strconv.Itoa(n), strings.NewReader(text)})
		}
		got, err := VerifyFiles(x.head, files...)
		if !errors.Is(err, x.is) || err != nil && err.Error() != x.fault+x.is.Error() {
			t.Errorf("%s: %v", name, err)
		}
		if x.want != (Report{}) {
			equal(t, name, got, x.want)
		}
	}
}

// Verify says what became of a file that is not there, and of one that lacks lines.
func TestVerifyAfterALoss(t *testing.T) {
	t.Parallel()
	l, path := open(t, Options{})
	record(t, l, "a")
	copied := read(t, path)
	record(t, l, "b")
	size, head := len(read(t, path)), l.Head()
	check(t, os.Truncate(path, 0))
	record(t, l, "c")
	files := []File{{"old", strings.NewReader(copied)}, {"new", strings.NewReader(read(t, path))}}
	rep, err := VerifyFiles(l.Head(), files[1])
	check(t, err)
	equal(t, "report", rep, Report{2, l.Head(), head, Loss{"truncated", int64(size)}})

	files[1].Reader = strings.NewReader(read(t, path))
	_, err = VerifyFiles("", files...)
	is(t, "behind a copy that lacks a line", err, ErrGap)
	if !strings.HasSuffix(err.Error(), fmt.Sprintf("(that file was truncated, after %d bytes had been written to it)", size)) {
		t.Error(err)
	}
}

// FuzzVerify recomputes the chain of each accepted log independently.
func FuzzVerify(f *testing.F) {
	lines, heads := sample(f)
	f.Add(strings.Join(lines, "")+"\n", heads[4])
	f.Add(strings.Join(lines, ""), "")
	f.Add(strings.Join(lines[2:], ""), "x")
	sum := sha256.Sum256([]byte(heads[4] + `{"a":1,"head":"` + heads[4] + `"`))
	f.Add(`{"a":1,"head":"`+heads[4]+`","chain":"`+hex.EncodeToString(sum[:])+"\"}\n", heads[4])
	f.Fuzz(func(t *testing.T, log, want string) {
		rep, err := Verify(strings.NewReader(log), "log", want)
		if err != nil || log == "" {
			return
		}
		from := zeros
		if rep.From != "" {
			from = rep.From
		}
		values := links(t, log, from)
		equal(t, "lines", rep.Lines, len(values))
		equal(t, "head", rep.Head, values[len(values)-1])
		if want != "" && !strings.Contains(zeros+strings.Join(values, " "), want) {
			t.Fatalf("head %q is not in it", want)
		}
	})
}

func TestVerifyHeads(t *testing.T) {
	t.Parallel()
	lines, heads := sample(t)
	lines[4] += "\n"
	files := func(from int) (files []File) {
		for i := from; i < len(lines); i += 2 {
			files = append(files, File{strconv.Itoa(i), strings.NewReader(strings.Join(lines[i:min(i+2, len(lines))], ""))})
		}
		return files
	}
	rep, at, err := VerifyHeads([]string{heads[1], heads[4], zeros, strings.Repeat("a", 64), heads[1]}, files(0)...)
	if err != nil || rep.Lines != 5 || rep.Head != heads[4] || fmt.Sprint(at) != "[2 5 0 -1 2]" {
		t.Error(rep, at, err)
	}
	if _, at, err := VerifyHeads(heads, files(0)[:2]...); err != nil || fmt.Sprint(at) != "[1 2 3 4 -1]" {
		t.Error(at, err)
	}
	if _, _, err := VerifyHeads(heads, files(1)...); !errors.Is(err, ErrMismatch) {
		t.Error(err)
	}

	// A file that claims to continue a head does not prove it.
	var out bytes.Buffer
	l := New(&out, Options{Now: clock})
	l.head, l.chain.head = link([]byte(heads[4])), link([]byte(heads[4]))
	l.Info("server.start", "").Send()
	check(t, l.Flush())
	rep, at, err = VerifyHeads(heads[4:], File{"later", &out})
	if err != nil || rep.From != heads[4] || fmt.Sprint(at) != "[-1]" {
		t.Error(rep, at, err)
	}
}

func TestEndedFollowsTheSession(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ended := 0
	l := New(&out, Options{Ended: func() { ended = out.Len() }})
	l.Info("session.close", "c1").Send()
	check(t, l.SessionEnd())
	if ended == 0 || ended != out.Len() {
		t.Errorf("Ended was called after %d of %d bytes", ended, out.Len())
	}
	check(t, l.Flush())
}
