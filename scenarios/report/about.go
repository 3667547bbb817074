package report

// About says what a report is about. Empty fields are left out.
type About struct {
	// Target is the address of the server. Empty means a server in the process for each scenario.
	Target string
	// Version is that of the program that ran the scenarios.
	Version string
	// Command is the command line. It must have no secrets.
	Command string
	// Host is the name of the machine on which the scenarios ran.
	Host string
}

// target names the server.
func (a About) target() string {
	if a.Target == "" {
		return "in the process, one for each scenario"
	}
	return a.Target
}

func (a About) facts() (all []fact) {
	for _, f := range []fact{{"Server", a.target()}, {"Version", a.Version}, {"Command", a.Command}, {"Host", a.Host}} {
		if f.Text != "" {
			all = append(all, fact{f.Name, visible(f.Text, maxText)})
		}
	}
	return all
}
