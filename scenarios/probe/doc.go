// Package probe judges the SCRAM logins of other servers and clients with the vectors of package fixtures.
//
// A [Config] names the peer, and [New] checks it. [Prober.Run] plays each vector that the peer can be judged by, one
// after another, and returns a [Result] for each. [JSON], [JUnit] and [HTML] render results.
//
// From outside one sees at which message a peer ends the login, but not why. So a [Verdict] depends on that stage
// alone, and the [Result] quotes the peer's words. The logins without a fault are tried first, one for each way to bind.
// If the plain one fails, nothing is judged; if another one fails, the vectors that depart from it are skipped. After
// every ten vectors one is tried again: if it fails, the other vectors are skipped.
//
// # Add a dialect
//
// A dialect carries SASL messages in a protocol. For servers under test write a [Caller], for clients under test a
// [Host], with four methods each, in a file of its own, and add it to the table in dialect.go. docs/probe.md has a whole
// one, pop3_test.go. [Link] reads and writes lines with a deadline and a bound, and begins TLS.
package probe
