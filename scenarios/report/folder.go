package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/scenarios"
)

// A folder has the scenarios of a folder, the failed ones first.
type folder struct {
	Name string
	// Class says which statuses it has, for the filter.
	Class string
	// Open means that a scenario has failed.
	Open  bool
	Tally []tally
	All   []scenario
}

func newFolder(name string) *folder {
	if name == "." {
		name = "without a folder"
	}
	return &folder{Name: visible(name, maxText), Tally: newTally()}
}

// add adds a result: the nth of all, and the ofStatus-th of its status.
func (f *folder) add(r *scenarios.Result, n, ofStatus int) {
	t := &f.Tally[place(r.Status)]
	t.n++
	if ofStatus > maxListed {
		t.left++
		return
	}
	f.All = append(f.All, newScenario(r, fmt.Sprintf("scenario-%d", n), ofStatus > maxShown))
}

// end sorts the scenarios and leaves out empty tallies.
func (f *folder) end() {
	f.Open = f.Tally[place(scenarios.Failed)].n > 0
	f.Tally = slices.DeleteFunc(f.Tally, func(t tally) bool { return t.n == 0 })
	var classes []string
	for i := range f.Tally {
		t := &f.Tally[i]
		if t.Count = count(t.n); t.left > 0 {
			t.Left = count(t.left)
		}
		classes = append(classes, "has-"+string(f.Tally[i].Status))
	}
	f.Class = strings.Join(classes, " ")
	slices.SortStableFunc(f.All, func(a, b scenario) int {
		return failedFirst(a.Status == scenarios.Failed, b.Status == scenarios.Failed)
	})
}

// failedFirst compares, so that what has failed is sorted before what has not.
func failedFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}
