// Package bench measures Sallyport against its limits. What is measured is a
// [Subject]; a [Group] holds those that are compared, the product and its
// floors: what bare TCP or bare crypto/tls costs for the same octets, with the
// same certificates, socket options and buffers. Groups lists them all.
//
// "go test -bench . ./bench" runs each for itself. [Interleave] runs those of a
// group in turns, in an order that is shuffled for every round, so that a
// machine whose speed drifts is as fast for one as for the other; the command in
// bench/compare does that, and reports the ratios.
package bench
