// Package probe judges the SCRAM logins of other servers and clients with the vectors of package fixtures.
//
// A [Config] names the peer, and [New] checks it. [Prober.Run] plays the vectors that fit the peer, one after another,
// and returns a [Result] for each. [JSON], [JUnit] and [HTML] render results.
//
// From outside one sees at which message a peer ends the login, but not why. So a [Verdict] depends on that stage
// alone, and the [Result] quotes the peer's words. Run first tries the logins without a fault, one for each way to
// bind. If the plain one fails, nothing is judged. If another one fails, the vectors that alter it are skipped. After
// every ten vectors Run repeats a login without a fault. If it fails, the remaining vectors are skipped.
//
// # Add a dialect
//
// A dialect carries SASL messages in a protocol. For servers under test write a [Caller], for clients under test a
// [Host], with four methods each, in a file of its own, and add it to the table in dialect.go. docs/probe.md shows a
// whole dialect, that of pop3_test.go. [Link] reads and writes lines with a deadline and a bound, and begins TLS.
package probe
