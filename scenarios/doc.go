// Package scenarios has the cast that acts between a client and a server, named
// as the field's literature names them: [Eve], who sees every octet on the wire,
// and Mallory, who says what she likes, in package mallory. The program in demo is
// a first scenario that anyone can watch.
package scenarios
