package scenarios

import (
	"os"
	"testing"
)

func TestRun(t *testing.T) {
	all, err := Load(os.DirFS("../fixtures"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range all {
		for _, c := range s.Matrix {
			r := Run(t.Context(), s, c, &Target{})
			t.Logf("%s %s %v %v %v\n%s", r.Name(), r.Status, r.Duration, r.Reason, r.Err, r.Transcript)
			for _, step := range r.Steps {
				t.Log(step)
			}
			for _, e := range r.Exchanges {
				t.Log(e.At, e.From, e.To, e.Text, e.Octets)
			}
			if r.Status == Failed {
				t.Fail()
			}
		}
	}
}
