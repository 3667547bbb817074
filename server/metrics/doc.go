// Package metrics measures a server for Prometheus, and says whether it can serve.
//
// [New] makes a [Metrics]. It counts what happens by the records of the interaction log, so give
// [Metrics.Observe] to audit.Options. What is now, such as who waits, it asks for at each scrape. [Metrics.Handler]
// answers /metrics and /healthz, and [Serve] serves it with limits.
//
// No label has a name of a user, an address or anything else of a client's choice. A value that the package doesn't
// know counts as "other", so there is a fixed number of time series.
package metrics
