// Package scenarios has the cast that acts between a client and a server, named
// as the field's literature names them: so far [Eve], who sees every octet on
// the wire and makes a capture file of it. The program in demo is a first
// scenario that anyone can watch.
package scenarios
