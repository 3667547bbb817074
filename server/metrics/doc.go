// Package metrics measures a server for Prometheus, and says whether it can serve.
//
// [New] makes a [Metrics]. Its counters come from the records of the interaction log, so give [Metrics.Observe] to
// audit.Options. Its gauges, such as the length of the queue, are read at each scrape. [Metrics.Handler] answers
// /metrics and /healthz, and [Serve] serves that handler with limits. README.md lists all metrics.
//
// No label has a name of a user, an address or anything else of a client's choice. A value that the package doesn't
// know counts as "other", so there is a fixed number of time series.
package metrics
