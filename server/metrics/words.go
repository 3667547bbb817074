package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/protocol"
)

// counters has a counter for each value of a label. Each begins with 0 at the start, so that a rate has a first
// value.
type counters struct {
	*prometheus.CounterVec
	of map[string]prometheus.Counter
}

// other is the value for all unknown values.
const other = "other"

func newCounters(name, help, label string, values []string) counters {
	c := counters{
		prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label}),
		map[string]prometheus.Counter{},
	}
	for _, value := range append(values, other) {
		c.of[value] = c.WithLabelValues(value)
	}
	return c
}

// with returns the counter of a value.
func (c counters) with(value []byte) prometheus.Counter {
	if counter, known := c.of[string(value)]; known {
		return counter
	}
	return c.of[other]
}

// The values of labels. README.md of package audit explains them.
func endings() []string {
	return append(words(
		protocol.KeywordIdle, protocol.KeywordEvicted, protocol.KeywordSessionLimit, protocol.KeywordShutdown,
		protocol.KeywordLogFailed, protocol.KeywordSyntax, protocol.KeywordLineTooLong, protocol.KeywordArgument,
		protocol.KeywordSequence, protocol.KeywordTooLarge, protocol.KeywordFailed,
	), "quit", "closed", "cut", "reset", "vanished", "write", "backend", "panic", "error")
}

func waitEndings() []string {
	return append(words(protocol.KeywordWaitTimeout), append(endings(), "granted")...)
}

func loginResults() []string {
	return []string{
		"ok", refused, "binding-mismatch", "binding-downgrade", "binding-type", "nonce",
		"malformed", "cancelled", "timeout", "throttled",
	}
}

// refused is the result of a login with a name or a password that the server does not accept.
const refused = "refused"

// publicReason returns the reason of a failed login for people who may not read the log. A client that guesses could
// see by a scrape before and one after the guess that a name is known, or a password right but the certificate another user's.
func publicReason(reason []byte) []byte {
	switch string(reason) {
	case "unknown-user", "wrong-proof", "certificate":
		return []byte(refused)
	}
	return reason
}

func refusals() []string { return []string{"lobby-full", "source-full", "throttled"} }

func codes() []string {
	return []string{"221", "250", "251", "252", "421", "500", "501", "503", "530", "550", "552", "554"}
}

func words(keywords ...protocol.Keyword) (all []string) {
	for _, k := range keywords {
		all = append(all, string(k))
	}
	return all
}
