package scenarios

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

const heading = "# promise:1 What it shows.\n"

// Each file has one fault, and the error names it.
var faulty = map[string]struct{ text, want string }{
	"command":      {heading + "alice login\nmalory login\n", `x.txtar:3: unknown command "malory"; there are: alice backend bob`},
	"verb":         {heading + "alice logs in\n", `x.txtar:2: can't "logs"; it can be one of: login`},
	"no verb":      {heading + "alice\n", `x.txtar:2: the line has no verb; it can be one of: login`},
	"too few":      {heading + "alice hears\n", `x.txtar:2: usage: alice hears CODE [REGEXP] [-> NAME]`},
	"too many":     {heading + "alice notices one two\n", `x.txtar:2: usage: alice notices REGEXP`},
	"regexp":       {heading + "alice hears 250 '(a'\n", "x.txtar:2: bad regexp \"(a\": error parsing regexp: missing closing ): `(a`"},
	"by chance":    {heading + "! eve saw 235\n", `x.txtar:2: "235" has less than 4 bytes`},
	"quoted $":     {heading + "alice hears 250 '($'\n", `x.txtar:2: bad regexp "($"`},
	"tool regexp":  {heading + "echo a\nstdout '[a'\n", `x.txtar:3: bad regexp "[a"`},
	"condition":    {heading + "[linux] alice login\n", `x.txtar:2: unknown condition [linux]; there are [own]`},
	"tls version":  {heading + "[!tls:1.4] alice login\n", `x.txtar:2: tls can't be "1.4" but one of 1.2 1.3`},
	"quote":        {heading + "alice ask ECHO 'a\n", `x.txtar:2: a quote is opened and not closed`},
	"only a !":     {heading + "!\n", `x.txtar:2: the line has no command`},
	"quoted name":  {heading + "'alice' login\n", `x.txtar:2: "alice" can't be a command: it is quoted`},
	"matrix":       {heading + "matrix tls=1.4\n", `x.txtar:2: tls can't be "1.4" but one of 1.2 1.3`},
	"no values":    {heading + "matrix reply\n", `x.txtar:2: reply has the value "", which is empty or there twice`},
	"value twice":  {heading + "matrix reply=a,b,a\n", `x.txtar:2: reply has the value "a", which is empty or there twice`},
	"twice":        {heading + "matrix reply=a reply=b\n", `x.txtar:2: matrix can't have a dimension "reply", or has it already`},
	"password":     {heading + "matrix alice_password=x\n", `x.txtar:2: matrix can't have a dimension "alice_password"`},
	"own":          {heading + "matrix own=x\n", `x.txtar:2: matrix can't have a dimension "own"`},
	"other value":  {heading + "matrix reply=a,b\n[reply:c] alice login\n", `x.txtar:3: reply can't be "c" but one of a b`},
	"one of many":  {heading + "matrix reply=a,b\n[reply:a,c] alice login\n", `x.txtar:3: reply can't be "c" but one of a b`},
	"too early":    {heading + "[reply:a] alice login\nmatrix reply=a\n", `x.txtar:2: unknown condition [reply:a]`},
	"many":         {heading + "matrix a=1,2,3,4,5,6,7,8 b=1,2,3,4,5,6,7,8 c=1,2,3,4,5,6,7,8 d=1,2\n", `x.txtar:2: the matrix has more than 1000 combinations`},
	"no heading":   {"alice login\n", `x.txtar:1: a scenario begins with a comment`},
	"empty title":  {"# promise:1\n", `x.txtar:1: the first comment has no sentence`},
	"nothing":      {"", `x.txtar:1: a scenario begins with a comment`},
	"latin-1":      {heading + "alice ask ECHO caf\xe9\n", `x.txtar:2: the line is not UTF-8`},
	"UTF-16":       {"#\x00 \x00a\x00\n\x00", `x.txtar:1: the line has a NUL: is this text, and UTF-8?`},
	"BOM":          {"\ufeff" + heading, `x.txtar:1: the file begins with a byte order mark`},
	"long line":    {heading + "alice ask ECHO " + strings.Repeat("x", 10<<20), `x.txtar:2: the line has more than 16384 bytes`},
	"long file":    {heading + strings.Repeat("# more\n", 1<<20), `the file has more than 4194304 bytes`},
	"file outside": {heading + "-- a --\n-- ../b --\n", `x.txtar:3: the file "../b" would be outside the scenario's folder`},
	"file twice":   {heading + "-- a --\n-- a --\n", `x.txtar:3: the file "a" is there twice`},
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range faulty {
		fsys := fstest.MapFS{"x.txtar": {Data: []byte(c.text)}}
		all, err := Load(fsys)
		var fault *FileError
		switch {
		case len(all) != 0 || !errors.As(err, &fault):
			t.Errorf("%s: got %d scenarios and %v, want none and a FileError", name, len(all), err)
		case !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n"):
			t.Errorf("%s: got %.300s\nwant one line with %s", name, err, c.want)
		}
	}
}

// The same without the fault is a scenario, and so is what only a run can judge.
func TestLoad(t *testing.T) {
	t.Parallel()
	all, err := Load(fstest.MapFS{
		"b/two.txtar": {Data: []byte("# rfc:5802 promise:4 Two.\r\nmatrix mechanism=plus,plain\r\n[!mechanism:plus] alice login & # said\r\nbob hears 250 (a$when\r\n! log has event=x\r\n-- a --\nb\n")},
		"a.txtar":     {Data: []byte(heading + "[own] log verify\n")},
		"c.txt":       {Data: []byte("no scenario\n")},
	})
	noError(t, err)
	type seen struct {
		Name, File, Title, Owns string
		Labels, Cast            []string
		Runs                    int
	}
	var got []seen
	for _, s := range all {
		got = append(got, seen{s.Name, s.File, s.Title, s.Owns, s.Labels, s.Cast, len(s.Matrix)})
	}
	want := []seen{
		{"a", "a.txtar", "What it shows.", "", []string{"promise:1"}, nil, 1},
		{"b/two", "b/two.txtar", "Two.", `it needs a server of its own, for "log has"`, []string{"rfc:5802", "promise:4"}, []string{"alice"}, 2},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadReturnsTheGoodOnesBesideTheFaults(t *testing.T) {
	t.Parallel()
	all, err := Load(fstest.MapFS{
		"a.txtar": {Data: []byte(heading)}, "b.txtar": {Data: []byte("b")}, "c.txtar": {Data: []byte("c")},
	})
	if len(all) != 1 || err == nil || strings.Count(err.Error(), ".txtar:1: ") != 2 {
		t.Errorf("got %d and %v, want 1 and two faults", len(all), err)
	}
}

func TestLoadPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "mine", "good.txtar"), filepath.Join(dir, "bad", "bad.txtar")
	for file, text := range map[string]string{good: heading, bad: heading + "nonsense\n", filepath.Join(dir, "none", "x"): ""} {
		noError(t, errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)))
	}
	for _, c := range []struct{ path, name, file, err string }{
		{filepath.Join(dir, "mine"), "good", good, ""},
		{good, strings.TrimSuffix(filepath.ToSlash(good), ".txtar"), good, ""},
		{filepath.Join(dir, "bad"), "", "", bad + `:2: unknown command "nonsense"`},
		{bad, "", "", bad + ":2: "},
		{filepath.Join(dir, "none"), "", "", "the folder has no scenario"},
		{filepath.Join(dir, "nowhere"), "", "", "nowhere: no such file"},
	} {
		all, err := LoadPath(c.path)
		switch {
		case c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%s: got %v, want %s", c.path, err, c.err)
		case c.err == "" && (err != nil || len(all) != 1 || all[0].Name != c.name || all[0].File != c.file):
			t.Errorf("%s: got %v, %v, want %s of %s", c.path, all, err, c.name, c.file)
		}
	}
}

func noError(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
