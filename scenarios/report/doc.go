// Package report renders the results of scenarios: [HTML] makes a page for people, [JSON] has everything
// for programs, and [JUnit] has the outcomes for CI systems.
//
// The results contain texts of scenario files, of the network and of the log, none of which is trusted: reports
// escape them, make invisible characters visible, and bound their length. A note says how much was left out.
package report
