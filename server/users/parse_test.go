package users

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

func FuzzParse(f *testing.F) {
	verifier, err := scram.NewVerifier("pencil", []byte("salt"), scram.MinIterations)
	if err != nil {
		f.Fatal(err)
	}
	v := verifier.String()
	for _, seed := range []string{
		"", "\n", "alice:" + v, "# c\n\n%23a%3A%25:" + v + "\n", "a:" + v + "\na:" + v + "\na:x", "a%:x\n\r\n\x00",
		strings.Repeat("x", 9000), " :" + v, "#:" + v, "%23:" + v, "a%23:" + v, "\u2168:" + v, "%3A:" + v + "\n%3a:" + v,
		"\ufeffa:" + v + "\r\nb:" + v + "\r\r\n\ufeffc:" + v,
	} {
		f.Add(seed)
	}
	names, err := fixtures.Seeds('C', fixtures.Symbols{"cnonce": "abc", "gs2": "n,,", "bind": "n", "name": "alice"})
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		f.Add(name + ":" + v)
		f.Add(escape(name) + ":" + v)
	}
	f.Fuzz(func(t *testing.T, contents string) {
		lines := parse([]byte(contents))
		written := format(lines)
		if strings.TrimSuffix(string(written), "\n") != strings.TrimSuffix(contents, "\n") {
			t.Errorf("%q was written as %q", contents, written)
		}
		if diff := cmp.Diff(lines, parse(written), cmp.AllowUnexported(line{})); diff != "" {
			t.Error(diff)
		}
		seen := map[string]bool{}
		for _, l := range lines {
			if !l.valid() {
				continue
			}
			if prepared, err := scram.Prepare(l.name); err != nil || prepared != l.name || seen[l.name] {
				t.Errorf("%q counts", l.name)
			}
			seen[l.name] = true
			text := strings.TrimPrefix(strings.TrimSuffix(l.text, "\r"), byteOrderMark)
			if text != escape(l.name)+":"+l.verifier.String() || len(text) > maxLine || text[0] == '#' {
				t.Errorf("%q counts", l.text)
			}
		}
	})
}
