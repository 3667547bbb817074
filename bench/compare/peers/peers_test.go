package peers

import (
	"os"
	"testing"

	"github.com/sallyport/sallyport/bench"
)

// Every peer answers what it is asked: those in this process, and the servers if SALLYPORT_PEERS names
// the folder in which they were started.
func TestPeers(t *testing.T) {
	groups, err := Groups(os.Getenv("SALLYPORT_PEERS"))
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for i, g := range bench.Groups() {
		for _, s := range groups[i].Subjects[len(g.Subjects):] {
			t.Run(s.Name, func(t *testing.T) {
				rig := s.Start(t)
				for range 3 {
					if took, err := rig.Step(); err != nil || took <= 0 {
						t.Fatalf("%v, %v", took, err)
					}
				}
			})
			ran++
		}
	}
	if ran < 5 {
		t.Errorf("%d peers", ran)
	}
}

// A folder in which servers.sh has started nothing is an error.
func TestNoServers(t *testing.T) {
	if groups, err := Groups(t.TempDir()); err == nil || groups != nil {
		t.Errorf("%v: %v", err, groups)
	}
}
