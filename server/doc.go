// Package server serves one authenticated session at a time over TLS.
//
// Use [Server] like an http.Server: set its fields, call [Server.Serve] with a listener, end it with
// [Server.Shutdown]. A [Handler] serves the requests of the seated client; [Mux] chooses one by verb, and
// [Server.Stock] returns a Mux with the stock verbs. To test a handler, see package scenarios/testserver.
//
// # The path of a connection
//
// Each connection has a goroutine. The files follow its path:
//
//   - lobby.go counts connections that have not logged in, tls.go does the handshake;
//   - login.go runs the login (RFC 5802 in the SASL profile of RFC 4954) under one deadline, which begins
//     with the accept; package scram judges its messages;
//   - seat.go grants the seat and passes it on ([Queue], [Reject], [Takeover]); wait.go waits for it;
//   - session.go reads requests and calls handlers, watch.go cancels the handler of a client that has
//     left, stream.go is OPEN;
//   - conn.go reads lines, writes replies, wakes and closes; socket.go waits for the peer, below TLS.
//
// # Waking
//
// One goroutine at a time writes to a connection: its own, or the one that watches its handler, or in a raw
// stream the one that reads from the backend. Another goroutine that has news for it (the seat is granted, the
// position changed, an eviction, a shutdown) sets a flag, and then a read deadline in the past. The
// connection's goroutine sets its deadline, then looks at the flags, then reads. So no news is lost.
//
// # The log
//
// A connection writes its log records before it waits for input and before it sends replies. So every
// answered request is on record.
package server
