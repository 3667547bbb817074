// Package report renders the results of scenarios for whoever did not see them
// run: [HTML] is a page for people, [JSON] has all of it for programs, [JUnit] the
// outcomes for CI systems.
//
// What is rendered came from scenario files, from the wire and from the log, so
// none of it is trusted: it is escaped, what can't be seen is made visible, and
// all of it is bounded. A reader never has to guess whether something was left
// out: a note says how much.
package report
