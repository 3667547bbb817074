// Package server serves one authenticated session at a time over TLS.
//
// [Server] is used as an http.Server is: fill in its fields, call [Server.Serve] with a listener,
// end it with [Server.Shutdown]. What a seated client may ask for is a [Handler]; [Mux] chooses one
// by verb, and [Server.Stock] returns a Mux with the stock verbs.
//
// # The way of a connection
//
// Each connection has a goroutine, and the files follow its way:
//
//   - lobby.go counts those that have proved nothing yet, in all and per
//     source, and tls.go shakes hands with them;
//   - login.go runs the SCRAM exchange (RFC 5802 in the SASL profile of
//     RFC 4954) under one deadline, counted from the accept;
//   - seat.go is the seat: who has it, who waits for it, and the policies
//     [Queue], [Reject] and [Takeover]; wait.go is the wait itself;
//   - session.go reads requests and runs their handlers, watch.go cancels a
//     handler whose client has gone, stream.go is OPEN;
//   - conn.go reads lines, replies, wakes and closes; socket.go is what is below
//     TLS: all waiting for the peer, and its deadlines.
//
// # Waking
//
// A connection is written to by one goroutine at a time: its own, or the one that watches over its
// handler, or in a raw stream the one that reads from the backend. Who has something to tell it (the
// seat is yours, your position changed, you are evicted, the server shuts down) sets a flag and then a
// read deadline in the past; the goroutine sets its deadline, then looks at the flags, then reads, so
// no call is lost.
//
// # The log
//
// Whatever a connection has logged is written before it blocks and before its replies go out, in
// this order, so an answered request is always on record.
package server
