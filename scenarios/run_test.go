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
			r := Run(t.Context(), s, c, &Target{Timeout: 2e9})
			switch {
			case r.Status == Failed:
				t.Errorf("%s %v %v\n%s", r.Name(), r.Duration, r.Err, r.Transcript)
			default:
				t.Logf("%s %v %s %s own=%q", r.Status, r.Duration, r.Name(), r.Reason, s.Owns)
			}
		}
	}
}
