// Package tty has the parts of a console on a terminal whose keys belong to another program: the escape key
// ([Escape]), messages between that program's bytes ([Screen]), and changes of the terminal ([Changes]).
package tty

import (
	"bytes"
	"unicode/utf8"
)

// Key is the escape key, Ctrl-].
const Key = 0x1d

// Other keys, as a terminal in raw mode sends them.
const (
	ctrlC     = 0x03
	ctrlD     = 0x04
	ctrlU     = 0x15
	backspace = 0x08
	del       = 0x7f
	esc       = 0x1b
)

// maxLine is the maximum length of what is typed after [AskLine], in bytes.
const maxLine = 24

// Action is what a key does.
type Action int

const (
	Send    Action = iota // Text goes to the other end
	Menu                  // the escape key was typed: show what can follow
	Quit                  // end the session
	Break                 // send a break
	AskLine               // ask for the speed and form of a serial line
	Echo                  // show Text behind the question of AskLine
	SetLine               // Text is the answer to AskLine
	Who                   // say who waits
	Help                  // show the help, because ? was typed or a key without a meaning
	Back                  // go back to the other end without an action
)

// Event is an action and its text, which is valid until the next call of [Escape.Type].
type Event struct {
	Action Action
	Text   []byte
}

// Escape finds the escape key, and the commands behind it, in what is typed. The zero value is ready to use.
type Escape struct {
	state state
	line  []byte // the answer to AskLine so far
}

type state int

const (
	passing  state = iota // keys go to the other end
	choosing              // the next key is a command
	asking                // the next keys are the answer to AskLine
)

// Type returns what the typed bytes do, in their order.
func (e *Escape) Type(typed []byte) (events []Event) {
	for len(typed) > 0 {
		if e.state == passing {
			text, rest, found := bytes.Cut(typed, []byte{Key})
			if len(text) > 0 {
				events = append(events, Event{Send, text})
			}
			if found {
				e.state = choosing
				events = append(events, Event{Action: Menu})
			}
			typed = rest
			continue
		}
		key := typed[0]
		if e.state == choosing {
			events = append(events, e.choose(key))
		} else {
			events = append(events, e.edit(key)...)
		}
		typed = skip(key, typed[1:])
	}
	return events
}

// choose returns the event of a key after the escape key.
func (e *Escape) choose(key byte) Event {
	e.state = passing
	switch key {
	case 'q', 'Q':
		return Event{Action: Quit}
	case 'b', 'B':
		return Event{Action: Break}
	case 'l', 'L':
		e.state, e.line = asking, nil
		return Event{Action: AskLine}
	case 'w', 'W':
		return Event{Action: Who}
	case Key:
		return Event{Send, []byte{Key}}
	case '\r', '\n', esc, ctrlC, ctrlD:
		return Event{Action: Back}
	}
	return Event{Action: Help}
}

// edit returns the events of a key in the answer to AskLine.
func (e *Escape) edit(key byte) []Event {
	switch {
	case key == '\r' || key == '\n':
		e.state = passing
		if len(e.line) > 0 {
			return []Event{{SetLine, e.line}}
		}
		return []Event{{Action: Back}}
	case key == esc || key == ctrlC || key == ctrlD || key == Key:
		e.state = passing
		return []Event{{Action: Back}}
	case key == backspace || key == del || key == ctrlU:
		return e.erase(key == ctrlU)
	case key > ' ' && key < del && len(e.line) < maxLine:
		e.line = append(e.line, key)
		return []Event{{Echo, []byte{key}}}
	}
	return nil
}

// erase removes the last byte of the answer, or all.
func (e *Escape) erase(all bool) []Event {
	n := min(1, len(e.line))
	if all {
		n = len(e.line)
	}
	if n == 0 {
		return nil
	}
	e.line = e.line[:len(e.line)-n]
	return []Event{{Echo, bytes.Repeat([]byte("\b \b"), n)}}
}

// skip returns what comes behind a key that sends several bytes, such as an arrow or a letter beyond ASCII. They
// arrive together, and the other end must not get the rest of a key that was meant for the menu.
func skip(key byte, typed []byte) []byte {
	switch {
	case key == esc && len(typed) > 0 && (typed[0] == '[' || typed[0] == 'O'):
		final := bytes.IndexFunc(typed[1:], func(r rune) bool { return r >= '@' && r <= '~' })
		if final < 0 {
			return nil
		}
		return typed[1+final+1:]
	case key >= utf8.RuneSelf:
		return bytes.TrimLeftFunc(typed, func(r rune) bool { return r == utf8.RuneError })
	}
	return typed
}
