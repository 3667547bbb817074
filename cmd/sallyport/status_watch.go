package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit/show"
	"github.com/sallyport/sallyport/server/control"
)

// lookEvery is the pause between two looks of status --watch.
const lookEvery = 500 * time.Millisecond

// follow shows each change until a signal ends the process, or standard output is lost. The first look must succeed.
func (f *statusFlags) follow(c *control.Client) error {
	ctx, cancel := notifyContext()
	defer cancel()
	seen, err := ask(c.Status)
	if err != nil {
		return err
	}
	draw := f.lines()
	switch {
	case f.json:
		draw = f.objects()
	case stdout.isTerminal():
		draw = drawPage
	}
	for look := time.NewTicker(lookEvery); ; {
		if err := draw(seen, err); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			seen, err = ask(c.Status)
		}
	}
}

// drawPage draws the page from the top of the terminal, as far as it has room.
func drawPage(s control.Status, failed error) error {
	width, _ := screenSize()
	now := time.Now()
	text := fmt.Sprintf("%s, Ctrl-C ends\n", now.Format(time.DateTime))
	if failed != nil {
		text += message(failed) + "\n"
	} else {
		text += statusPage(s, now, max(width, minWidth))
	}
	return drawScreen(text)
}

// screenSize returns the size of the terminal, or that of a usual one.
func screenSize() (width, height int) {
	width, height, err := term.GetSize(int(stdout.file.Fd()))
	if err != nil || width <= 0 || height <= 1 {
		return pipeWidth, 24
	}
	return width, height
}

// drawScreen draws a text from the top of the terminal, as far as it has room.
func drawScreen(text string) error {
	width, height := screenSize()
	var out strings.Builder
	out.WriteString("\x1b[H")
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	for _, line := range lines[:min(len(lines), height-1)] {
		runes := []rune(line)
		out.WriteString(string(runes[:min(len(runes), width)]) + "\x1b[K\r\n")
	}
	out.WriteString("\x1b[J")
	_, err := stdout.Write([]byte(out.String()))
	return err
}

// objects returns a function that prints an object for each change.
func (f *statusFlags) objects() func(control.Status, error) error {
	lines := changes{}
	return func(s control.Status, failed error) error {
		if len(lines.next(s, failed)) == 0 {
			return nil
		}
		if failed != nil {
			return json.NewEncoder(stdout).Encode(map[string]string{"error": message(failed)})
		}
		return json.NewEncoder(stdout).Encode(s)
	}
}

// lines returns a function that prints a line for each change.
func (f *statusFlags) lines() func(control.Status, error) error {
	lines := changes{}
	return func(s control.Status, failed error) error {
		for _, line := range lines.next(s, failed) {
			if _, err := fmt.Fprintln(stdout, time.Now().Format(time.TimeOnly), line); err != nil {
				return err
			}
		}
		return nil
	}
}

// changes compares each status with the one before.
type changes struct {
	begun  bool
	before control.Status
	failed string
}

// next returns what has changed, a line each. The first status is a change.
func (c *changes) next(s control.Status, failed error) (lines []string) {
	if failed != nil {
		text := message(failed)
		if text != c.failed {
			lines = append(lines, text)
		}
		c.failed = text
		return lines
	}
	before := c.before
	if !c.begun || c.failed != "" || before.Started != s.Started {
		lines, before = append(lines, introduce(s)), s
	}
	lines = append(lines, compare(before, s)...)
	c.begun, c.before, c.failed = true, s, ""
	return lines
}

// introduce says how the seat is.
func introduce(s control.Status) string {
	text := "the seat is free"
	if h := s.Holder; h != nil {
		text = fmt.Sprintf("%s has the seat (from %s)", show.Printable(h.User), show.Printable(h.Remote))
	} else if there := atAnotherGate(s); there != "" {
		text = there
	}
	if s.QueueLength > 0 {
		text += fmt.Sprintf(", waiting: %d", s.QueueLength)
	}
	return text
}

// atAnotherGate says who has the shared seat at another gate, or nothing.
func atAnotherGate(s control.Status) string {
	f := s.Elsewhere()
	if f == nil {
		return ""
	}
	return show.Printable(f.Holder) + " has the shared seat at " + show.Printable(f.Gate())
}

// compare returns the differences between two looks at one server.
func compare(before, after control.Status) (lines []string) {
	left := before.Holder != nil && (after.Holder == nil || after.Holder.Conn != before.Holder.Conn)
	if left {
		lines = append(lines, getsUp(before.Holder.User, ""))
	}
	unseen := after.Served - before.Served
	if after.Holder != nil && (before.Holder == nil || left) {
		lines = append(lines, sitsDown(after.Holder.User, after.Holder.Remote))
		unseen--
	}
	if unseen > 0 {
		lines = append(lines, count(unseen, "short session")+" in between")
	}
	if was, is := atAnotherGate(before), atAnotherGate(after); is != was && is != "" {
		lines = append(lines, is)
	} else if is != was && after.Holder == nil {
		lines = append(lines, "the shared seat is free")
	}
	lines = append(lines, compareQueue(before, after)...)
	if after.Stopping && !before.Stopping {
		lines = append(lines, "the server is shutting down")
	}
	return append(lines, compareHealth(before, after)...)
}

func compareQueue(before, after control.Status) (lines []string) {
	has := func(all []control.Person, conn string) bool {
		return slices.ContainsFunc(all, func(p control.Person) bool { return p.Conn == conn })
	}
	for i, p := range after.Waiting {
		if !has(before.Waiting, p.Conn) {
			lines = append(lines, waits(p.User, p.Remote, i+1))
		}
	}
	for _, p := range before.Waiting {
		if seated := after.Holder != nil && after.Holder.Conn == p.Conn; !seated && !has(after.Waiting, p.Conn) {
			lines = append(lines, givesUp(p.User, ""))
		}
	}
	return lines
}

// compareHealth returns what has changed of the log and the backend.
func compareHealth(before, after control.Status) (lines []string) {
	was, is := before.Log, after.Log
	switch {
	case is.Stuck > 0 && was.Stuck == 0:
		lines = append(lines, "the disk of the log does not answer")
	case is.Failing && !was.Failing:
		lines = append(lines, "the log can't be written")
	case is.Stuck == 0 && !is.Failing && (was.Failing || was.Stuck > 0):
		lines = append(lines, "the log can be written again")
	}
	if before.Backend != nil && after.Backend != nil && before.Backend.Down != after.Backend.Down {
		if down := after.Backend.Down; down != "" {
			return append(lines, "the backend is down: "+show.Printable(down))
		}
		lines = append(lines, "the backend is open")
	}
	return lines
}
