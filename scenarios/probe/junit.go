package probe

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

type (
	junitReport struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCount
		Suites []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string `xml:"name,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Skipped   int    `xml:"skipped,attr"`
		junitCount
		Cases []junitCase `xml:"testcase"`
	}
	junitCount struct {
		Tests    int    `xml:"tests,attr"`
		Failures int    `xml:"failures,attr"`
		Errors   int    `xml:"errors,attr"`
		Time     string `xml:"time,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      string        `xml:"time,attr"`
		Skipped   *junitSkipped `xml:"skipped"`
		Failure   *junitFailure `xml:"failure"`
		Out       string        `xml:"system-out,omitempty"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr"`
		Text    string `xml:",chardata"`
	}
)

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// JUnit writes a run as the XML that CI systems read, by the same schema as that of package report. A failed case is
// a failure; non-strict and info are passed, with the deviation in system-out. U+FFFD replaces characters that XML
// doesn't allow.
func JUnit(w io.Writer, s *Summary, all []Result) error {
	suite := junitSuite{Name: s.URL, Timestamp: s.Start.UTC().Format("2006-01-02T15:04:05")}
	for i := range all {
		c := junitOf(&all[i])
		suite.Tests++
		switch {
		case c.Failure != nil:
			suite.Failures++
		case c.Skipped != nil:
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
	}
	suite.Time = seconds(s.Took)
	doc := junitReport{Name: "sallyport probe", junitCount: suite.junitCount, Suites: []junitSuite{suite}}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	out := xml.NewEncoder(w)
	out.Indent("", " ")
	if err := out.Encode(doc); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitOf(r *Result) junitCase {
	file, _, _ := strings.Cut(r.Name, "/")
	c := junitCase{Name: r.Name, ClassName: string(r.Rule) + "." + file, Time: seconds(r.Took), Out: transcript(r)}
	switch {
	case r.Verdict == Skip:
		c.Skipped = &junitSkipped{r.Reason}
	case r.Failed():
		c.Failure = &junitFailure{r.Reason, string(r.Verdict), fmt.Sprintf("%s %s: %s\n%s", r.Rule, r.Section, r.About, r.Words)}
	}
	return c
}

// transcript returns the exchange as text, with the verdict behind it.
func transcript(r *Result) string {
	var b strings.Builder
	for _, m := range r.Transcript {
		mark := " "
		if m.Altered {
			mark = "!"
		}
		fmt.Fprintf(&b, "%s%s %s\n", strings.ToUpper(m.From[:1]), mark, cut(m.Text))
	}
	fmt.Fprintf(&b, "%s: %s", r.Verdict, r.Reason)
	if r.Words != "" {
		fmt.Fprintf(&b, "; its words: %s", cut(r.Words))
	}
	return b.String() + "\n"
}

// maxShown bounds one message in a report for people, in bytes.
const maxShown = 600

func cut(text string) string {
	if len(text) <= maxShown {
		return text
	}
	return fmt.Sprintf("%s… (%d bytes)", strings.ToValidUTF8(text[:maxShown], ""), len(text))
}
