package scenarios

import (
	"errors"
	"fmt"
	"strings"
)

// words of one line of a script.
type words struct {
	conditions []string
	want       string // "!" or "?"
	background bool
	name       string
	args       []word
}

// A word is an argument before its variables are filled in.
type word struct {
	text     string
	quoted   bool // at least in part
	variable bool // has a variable to be filled in
}

// texts are the arguments as they are written, without the quotes.
func (c *words) texts() []string {
	all := make([]string, len(c.args))
	for i, w := range c.args {
		all[i] = w.text
	}
	return all
}

// split takes a line apart as the script engine does, so that what is wrong with
// it is found before a run. A comment has no words.
func split(line string) (c words, err error) {
	all, err := scan(line)
	if err != nil {
		return c, err
	}
	for i, w := range all {
		switch prefix := c.name == "" && !w.quoted; {
		case c.name == "" && w.quoted:
			return c, fmt.Errorf("%q can't be a command: it is quoted", w.text)
		case prefix && (w.text == "!" || w.text == "?"):
			c.want = w.text
		case prefix && strings.HasPrefix(w.text, "[") && strings.HasSuffix(w.text, "]"):
			c.conditions = append(c.conditions, strings.TrimSpace(w.text[1:len(w.text)-1]))
		case prefix:
			c.name = w.text
		case i == len(all)-1 && w.text == "&" && !w.quoted:
			c.background = true
		default:
			c.args = append(c.args, w)
		}
	}
	if c.name == "" && len(all) > 0 {
		return c, errors.New("the line has no command")
	}
	return c, nil
}

// separators end a word; the last begins a comment.
const separators = " \t\r\n#"

// scan finds the words: single quotes join them and keep a $, two of them inside
// quotes are one.
func scan(line string) (all []word, err error) {
	var w word
	var text []byte
	begun, quoted := false, false
	flush := func() {
		if begun {
			w.text = string(text)
			all = append(all, w)
		}
		w, text, begun = word{}, nil, false
	}
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '\'' && quoted && strings.HasPrefix(line[i+1:], "'"):
			text = append(text, c)
			i++
		case c == '\'':
			quoted = !quoted
			w.quoted, begun = true, true
		case !quoted && strings.IndexByte(separators, c) >= 0:
			flush()
			if c == '#' {
				return all, nil
			}
		default:
			text = append(text, c)
			begun, w.variable = true, w.variable || c == '$' && !quoted
		}
	}
	if quoted {
		return nil, errors.New("a quote is opened and not closed")
	}
	flush()
	return all, nil
}
