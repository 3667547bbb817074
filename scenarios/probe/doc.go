// Package probe judges the SCRAM logins of other servers and clients with the vectors of package fixtures.
//
// A [Config] names the peer, and [New] checks it. [Prober.Run] plays each vector that the peer can be judged by, one
// after another, and returns a [Result] for each. [JSON], [JUnit] and [HTML] render results.
//
// A peer shows from outside which of its messages or words end the login, and never why. So a [Verdict] compares
// the stage alone, and quotes the peer's words. A login without a fault comes first, and again after every ten
// vectors: where it fails, the vectors say nothing.
//
// # Add a dialect
//
// A dialect carries SASL messages in a protocol. For servers under test write a [Caller], for clients under test a
// [Host], with four methods each, in a file of its own, and add it to the table in dialect.go. smtp.go is the example
// to start from. [Link] reads and writes lines with a deadline and a bound, and begins TLS.
package probe
