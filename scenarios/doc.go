// Package scenarios acts out what happens between several parties: a scenario is
// a text file that says in a few lines who does what, and what must come of it.
//
//	# promise:1  The second client waits, and is told who it waits for.
//	server admission=queue depth=4
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
//	log   has event=session.open user=bob
//
// [Load] reads scenarios, and finds what is wrong with them before they run;
// [Run] acts one out, against a server of its own in the process or against one
// that runs already, and returns a [Result] with all that happened. Package
// report renders results.
//
// The language is that of [rsc.io/script], so that conditions, !, ?, &, wait,
// help and variables come from there. The cast is named as the field's
// literature names it: Alice, Bob, Carol and Dave are clients, Eve sees every
// octet on the wire, Sybil comes in numbers, Mallory alters what is said in a login,
// as a client, as a server, or in the middle, and the operator runs the server.
// "help alice" in a scenario lists what Alice can do. Every command waits for what
// it names, until a deadline; none sleeps.
package scenarios
