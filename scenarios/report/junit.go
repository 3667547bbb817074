package report

import (
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

type (
	junitReport struct {
		XMLName xml.Name `xml:"testsuites"`
		Name    string   `xml:"name,attr"`
		junitCount
		Suites []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string `xml:"name,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Host      string `xml:"hostname,attr,omitempty"`
		Skipped   int    `xml:"skipped,attr"`
		junitCount
		Cases []junitCase `xml:"testcase"`
	}
	junitCount struct {
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     junitPeriod `xml:"time,attr"`
	}
	junitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      junitPeriod   `xml:"time,attr"`
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
	junitPeriod time.Duration
)

// MarshalText writes seconds.
func (d junitPeriod) MarshalText() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", time.Duration(d).Seconds()), nil
}

// JUnit writes the outcomes as the XML that CI systems read: a testsuite for each folder, and a testcase for
// each run with its failure, or why it was skipped, and with the account of the script engine as
// system-out. fixtures/junit.xsd is the schema. U+FFFD replaces characters that XML doesn't allow.
func JUnit(w io.Writer, about About, all []scenarios.Result) error {
	doc := junitReport{Name: "sallyport replay"}
	suites := map[string]*junitSuite{}
	for i := range all {
		r := &all[i]
		folder := path.Dir(r.Scenario.Name)
		s := suites[folder]
		if s == nil {
			s = &junitSuite{Name: folder, Host: about.Host, Timestamp: r.Start.UTC().Format("2006-01-02T15:04:05")}
			suites[folder] = s
			doc.Suites = append(doc.Suites, s)
		}
		s.add(r)
		doc.count(r)
	}
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

func (s *junitSuite) add(r *scenarios.Result) {
	c := junitCase{
		Name: path.Base(r.Scenario.Name) + strings.TrimPrefix(r.Name(), r.Scenario.Name),
		// Some readers take the part before the last dot for a package.
		ClassName: strings.ReplaceAll(s.Name, "/", "."), Time: junitPeriod(r.Duration), Out: r.Transcript,
	}
	switch r.Status {
	case scenarios.Skipped:
		s.Skipped++
		c.Skipped = &junitSkipped{r.Reason}
	case scenarios.Failed:
		text := errorText(r)
		first, _, _ := strings.Cut(text, "\n")
		c.Failure = &junitFailure{first, "failed", text}
	}
	s.Cases = append(s.Cases, c)
	s.count(r)
}

func (n *junitCount) count(r *scenarios.Result) {
	n.Tests++
	n.Time += junitPeriod(r.Duration)
	if r.Status == scenarios.Failed {
		n.Failures++
	}
}
