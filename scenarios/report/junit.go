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
		Suites []*JUnitSuite `xml:"testsuite"`
	}
	// JUnitSuite is a group of cases.
	JUnitSuite struct {
		Name      string `xml:"name,attr"`
		Timestamp string `xml:"timestamp,attr"`
		Host      string `xml:"hostname,attr,omitempty"`
		Skipped   int    `xml:"skipped,attr"`
		junitCount
		Cases []JUnitCase `xml:"testcase"`
	}
	junitCount struct {
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Time     junitPeriod `xml:"time,attr"`
	}
	// JUnitCase is one case. Without Skipped, Error and Failure it has passed.
	// Error says why a case could not be judged.
	JUnitCase struct {
		Name      string        `xml:"name,attr"`
		ClassName string        `xml:"classname,attr"`
		Time      junitPeriod   `xml:"time,attr"`
		Skipped   *JUnitSkipped `xml:"skipped"`
		Error     *JUnitFailure `xml:"error"`
		Failure   *JUnitFailure `xml:"failure"`
		// Out is more text about the case.
		Out string `xml:"system-out,omitempty"`
	}
	// JUnitSkipped says why a case was skipped.
	JUnitSkipped struct {
		Message string `xml:"message,attr"`
	}
	// JUnitFailure says why a case failed.
	JUnitFailure struct {
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

// NewJUnitSuite returns a group without cases that began at a time.
func NewJUnitSuite(name string, start time.Time) *JUnitSuite {
	return &JUnitSuite{Name: name, Timestamp: start.UTC().Format("2006-01-02T15:04:05")}
}

// Add adds a case that took a time.
func (s *JUnitSuite) Add(c JUnitCase, took time.Duration) {
	c.Time = junitPeriod(took)
	one := junitCount{Tests: 1, Time: c.Time}
	switch {
	case c.Failure != nil:
		one.Failures = 1
	case c.Error != nil:
		one.Errors = 1
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
	s.add(one)
}

func (n *junitCount) add(other junitCount) {
	n.Tests += other.Tests
	n.Failures += other.Failures
	n.Errors += other.Errors
	n.Time += other.Time
}

// WriteJUnit writes groups of cases as the XML that CI systems read. fixtures/junit.xsd is the schema. U+FFFD replaces
// characters that XML doesn't allow.
func WriteJUnit(w io.Writer, name string, suites ...*JUnitSuite) error {
	doc := junitReport{Name: name, Suites: suites}
	for _, s := range suites {
		doc.add(s.junitCount)
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

// JUnit writes the outcomes with [WriteJUnit]: a testsuite for each folder, and a testcase for each run with its
// failure, or why it was skipped, and with the account of the script engine as system-out.
func JUnit(w io.Writer, about About, all []scenarios.Result) error {
	var suites []*JUnitSuite
	byFolder := map[string]*JUnitSuite{}
	for i := range all {
		r := &all[i]
		folder := path.Dir(r.Scenario.Name)
		s := byFolder[folder]
		if s == nil {
			s = NewJUnitSuite(folder, r.Start)
			s.Host = about.Host
			byFolder[folder] = s
			suites = append(suites, s)
		}
		s.Add(junitOf(r, folder), r.Duration)
	}
	return WriteJUnit(w, "sallyport replay", suites...)
}

func junitOf(r *scenarios.Result, folder string) JUnitCase {
	c := JUnitCase{
		Name: path.Base(r.Scenario.Name) + strings.TrimPrefix(r.Name(), r.Scenario.Name),
		// Some readers take the part before the last dot for a package.
		ClassName: strings.ReplaceAll(folder, "/", "."), Out: r.Transcript,
	}
	switch r.Status {
	case scenarios.Skipped:
		c.Skipped = &JUnitSkipped{r.Reason}
	case scenarios.Failed:
		text := errorText(r)
		first, _, _ := strings.Cut(text, "\n")
		c.Failure = &JUnitFailure{first, "failed", text}
	}
	return c
}
