package mallory

import "testing"

func TestTranscripts(t *testing.T) {
	scripts, err := Scripts()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts {
		for _, way := range s.Ways() {
			o, err := s.Play(t.Context(), way)
			if err != nil {
				t.Errorf("%s, %s: %v", s.Name, way, err)
			} else if err := s.Judge(way, o); err != nil {
				t.Errorf("%s, %v", s.Name, err)
			}
		}
	}
}
