package peers

import "testing"

// Every peer answers what it was asked, three times: those in this process, and
// the servers where SALLYPORT_PEERS says that they run.
func TestPeers(t *testing.T) {
	for _, g := range Groups() {
		for _, s := range g.Subjects {
			t.Run(g.Name+"/"+s.Name, func(t *testing.T) {
				rig := s.Start(t)
				for range 3 {
					if took, err := rig.Step(); err != nil || took <= 0 {
						t.Fatalf("%v, %v", took, err)
					}
				}
			})
		}
	}
}

// What is wrong with the servers is said by what would have measured them.
func TestNoServers(t *testing.T) {
	t.Setenv("SALLYPORT_PEERS", t.TempDir())
	var failed []string
	for _, g := range Groups() {
		for _, s := range g.Subjects {
			if s.Name == "of=servers" || s.Name == "window=64/of=redis" {
				failed = append(failed, g.Name+"/"+s.Name)
			}
		}
	}
	if len(failed) != 2 {
		t.Errorf("only %q would fail", failed)
	}
}
