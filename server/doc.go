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
//   - package lobby bounds connections that have not logged in, tls.go does the handshake;
//   - login.go runs the login (RFC 5802 in the SASL profile of RFC 4954) under one deadline, which begins
//     with the accept; package scram judges its messages;
//   - seat.go grants the seat (seat.grant) and passes it on (seat.release), as [Queue], [Reject] or
//     [Takeover] say; shared.go asks for a seat that servers share ([Server].Shared); wait.go waits
//     for it, or answers STAT for a client that wants no seat;
//   - session.go reads requests and calls handlers, watch.go cancels the handler of a client that has
//     left (package alarm says when to look, package notice when to warn of the end), stream.go is OPEN and
//     STREAM, whose rules are in package joint;
//   - conn.go reads lines, writes replies and closes; package socket waits for the peer, below TLS, and wakes;
//   - status.go has Status and Evict, for the operator.
//
// # The log
//
// A connection writes its log records before it waits for input and before it sends replies. So every
// answered request is on record.
package server
