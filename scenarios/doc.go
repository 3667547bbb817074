// Package scenarios runs scenarios: text files that say in a few lines who does what, and what must follow.
//
//	# promise:1 The second client waits, and learns who has the seat.
//	alice login
//	bob   login &
//	bob   notices 'position 1 holder alice'
//	alice ask ECHO 'only me'
//	alice hears 250 'only me'
//	alice quit
//	wait
//	bob   ask TIME
//	bob   hears 250
//	! eve saw 'only me'
//	[own] log has event=session.open user=bob
//
// # Test your own handler
//
// Write such files. Read them with [LoadPath], and run them as a [Suite] with a [Target] whose Configure sets
// the handler: the example is a complete test. A Target with a [Remote] is a server that runs already. For tests
// in Go without scenarios, package testserver starts the same server. Package report renders results.
//
// # Add a case to the login battery
//
// For a case on the network, write a file under fixtures/ with the label battery:N; README.md of this package has
// the steps. For a case in one SCRAM message, add two lines to a file of fixtures/scram; see fixtures/README.md.
//
// # The language
//
// Conditions, !, ?, &, wait, help and variables are those of [rsc.io/script]. The first word of a line is a
// member of the cast. Alice, Bob, Carol and Dave are clients. Eve is an eavesdropper: she sees every byte on
// the network. Sybil makes many connections. Mallory attacks logins as a client, as a server, or between the
// two. The operator runs the server, and the backend is what it guards. "help alice" in a scenario, and
// [Explain], list the verbs of Alice. A command waits for its event until a deadline. No command sleeps.
package scenarios
