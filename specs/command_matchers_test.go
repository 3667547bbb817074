package specs

import (
	"fmt"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/onsi/gomega/types"
)

func stdout(s *gexec.Session) string { return string(s.Out.Contents()) }
func stderr(s *gexec.Session) string { return string(s.Err.Contents()) }

// printed matches a command that ended with 0, and printed this text and nothing on standard error.
func printed(text string) types.GomegaMatcher { return did(0, text, "") }

// did matches the exit code of a command, its standard output and its standard error. out and err are a text or
// a matcher.
func did(code int, out, err any) types.GomegaMatcher {
	that := func(want any) types.GomegaMatcher {
		if m, ok := want.(types.GomegaMatcher); ok {
			return m
		}
		return Equal(want)
	}
	return SatisfyAll(gexec.Exit(code), WithTransform(stdout, that(out)), WithTransform(stderr, that(err)))
}

// failed matches a command that ended with this exit code and printed only an error: one line that matches the
// pattern and names no package. After wrong usage a second line names the help.
func failed(code int, pattern string) types.GomegaMatcher {
	more := ""
	if code == 2 {
		more = `see sallyport[a-z ]* --help\n`
	}
	return did(code, "", SatisfyAll(
		MatchRegexp(fmt.Sprintf(`^sallyport[a-z ]*: [^\n]*%s[^\n]*\n%s$`, pattern, more)),
		Not(MatchRegexp(`: (client|protocol|scram|server|audit): `))))
}
