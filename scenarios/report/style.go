package report

import "html/template"

// Style returns the style sheet of [HTML], for other pages of the project.
func Style() template.CSS {
	text, err := files.ReadFile("page.css")
	if err != nil {
		panic(err) // it is embedded
	}
	return template.CSS(text)
}

// Visible returns a text of a peer for a page: every character can be seen, and it has at most 600.
func Visible(s string) string { return visible(s, maxText) }
