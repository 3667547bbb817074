package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/scenarios"
)

// Measures of a sequence diagram, in CSS pixels.
const (
	cell      = 7.4 // width of a character of the 12 px monospace font, or more
	line      = 16  // height of a line of text
	pad       = 12
	timeWidth = 84 // width of the column of times
	columnGap = 92 // least distance of two participants
	headTop   = 6
	headSize  = 24 // height of the box with a participant's name
	gapRow    = 36 // height of the note on the rows that are left out
)

// Limits of a sequence diagram.
const (
	maxRows         = 160 // exchanges
	maxParticipants = 10
	maxName         = 12 // characters of a participant's name
	labelWidth      = 44 // characters in a line of a message
	labelLines      = 3
	wireBytes       = 16 // bytes on the network
)

// A diagram is the layout of a sequence diagram: a column for each participant, a row for each exchange, and
// beside each row its bytes on the network.
type diagram struct {
	Width, Height int
	TimeX, WireX  int
	// Top and Bottom are the ends of the lifelines.
	Top, Bottom int
	// FootY and FootText are the positions of the names below a long diagram. Zero means no names.
	FootY, FootText int
	Participants    []participant
	Rows            []row
	Gap             *gap
	Total           string
}

type participant struct {
	Name           string
	X, Left, Width int
}

// A row is an exchange as an arrow, with its text above.
type row struct {
	At string
	// Class is say, reply or refusal.
	Class string
	// Line and Head are the paths of the arrow.
	Line, Head string
	// X, Anchor and Y place the text. Y is also the position of Wire.
	X      int
	Anchor string
	Y      int
	// OctetsY is the position of Octets, ArrowY that of the arrow.
	OctetsY, ArrowY int
	Label           []label
	// Title is the whole exchange, for screen readers, From, To and Text are its parts.
	Title, From, To, Text string
	// Wire has the first bytes on the network, in hex, Octets the number of bytes.
	Wire, Octets string
	from, to     int
}

type label struct {
	Y    int
	Text string
}

// A gap is the note on the rows that are left out.
type gap struct {
	Y    int
	Text string
}

// newDiagram lays out the exchanges. It returns nil if there are none.
func newDiagram(all []scenarios.Exchange) *diagram {
	if len(all) == 0 {
		return nil
	}
	d := &diagram{Top: headTop + headSize, Total: count(len(all))}
	shown := ends(all, maxRows)
	names := d.participants(append(slices.Clone(shown.Head), shown.Tail...))
	y := d.rows(shown.Head, names, d.Top+pad)
	if shown.Left != "" {
		d.Gap = &gap{y + gapRow/2, fmt.Sprintf("%s exchanges in between are not drawn", shown.Left)}
		y = d.rows(shown.Tail, names, y+gapRow)
	}
	d.columns()
	for i := range d.Rows {
		d.arrow(&d.Rows[i])
	}
	d.Bottom = y
	d.Height = y + headTop
	if len(d.Rows) > 12 {
		d.FootY, d.FootText = y, y+line
		d.Height += headSize + headTop
	}
	return d
}

// participants adds a column for each participant, clients first, so that the server is to the right of
// them. It returns the column of each.
func (d *diagram) participants(all []scenarios.Exchange) map[string]int {
	var names []string
	for _, e := range all {
		names = append(names, role(e.From), role(e.To))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a, b)) })
	names = slices.Compact(names)
	columns := map[string]int{}
	for i, name := range names {
		columns[name] = min(i, maxParticipants-1)
		if i < maxParticipants {
			d.Participants = append(d.Participants, participant{Name: brief(name, maxName)})
		}
	}
	if len(names) > maxParticipants {
		d.Participants[maxParticipants-1].Name = "others"
	}
	return columns
}

// role returns the participant of a name: all of Sybil's connections are one participant.
func role(name string) string {
	if strings.HasPrefix(name, "sybil-") {
		return "sybil"
	}
	return name
}

// which returns the name of a connection, with a colon, if its participant stands for several.
func which(e scenarios.Exchange) string {
	for _, name := range []string{e.From, e.To} {
		if role(name) != name {
			return visible(name, maxName) + ": "
		}
	}
	return ""
}

// rank returns the position of a participant, from left to right.
func rank(name string) int {
	order := []string{"alice", "bob", "carol", "dave", "sybil", "mallory", "", "server", "operator"}
	if i := slices.Index(order, name); i >= 0 {
		return i
	}
	return slices.Index(order, "")
}

// rows adds a row for each exchange from y down, and returns the end of the last.
func (d *diagram) rows(all []scenarios.Exchange, column map[string]int, y int) int {
	for _, e := range all {
		r := row{
			At: span(e.At), Class: class(e), Title: title(e),
			From: visible(e.From, maxName), To: visible(e.To, maxName), Text: visible(e.Text, maxText),
			from: column[role(e.From)], to: column[role(e.To)], Y: y + line - 4,
			Wire: fmt.Sprintf("% x", e.Wire[:min(len(e.Wire), wireBytes)]), Octets: seen(e),
		}
		for i, words := range wrap(which(e)+visible(e.Text, maxText), labelWidth, labelLines) {
			r.Label = append(r.Label, label{r.Y + i*line, words})
		}
		r.OctetsY, r.ArrowY = r.Y+line, y+line*len(r.Label)+4
		y = r.ArrowY + line + 6
		if r.Wire == "" {
			r.OctetsY = r.Y
		}
		d.Rows = append(d.Rows, r)
	}
	return y
}

func class(e scenarios.Exchange) string {
	refused := len(e.Text) > 3 && e.Text[3] == ' ' && (e.Text[0] == '4' || e.Text[0] == '5')
	switch {
	case e.From == "server" && refused:
		return "refusal"
	case e.From == "server":
		return "reply"
	}
	return "say"
}

func title(e scenarios.Exchange) string {
	return fmt.Sprintf("%s to %s: %s", visible(e.From, maxText), visible(e.To, maxText), visible(e.Text, maxText))
}

func seen(e scenarios.Exchange) string {
	switch n := min(len(e.Wire), wireBytes); {
	case e.Size == 0:
		return "nothing more"
	case e.Size == 1:
		return "1 byte"
	case n < e.Size:
		return fmt.Sprintf("first %d of %s bytes", n, count(e.Size))
	}
	return count(e.Size) + " bytes"
}

// columns sets the position of each participant, so that the messages between it and the last one fit.
func (d *diagram) columns() {
	left := timeWidth + pad
	for i := range d.Participants {
		p := &d.Participants[i]
		p.Width = max(int(cell*float64(cells(p.Name)))+2*pad, 64)
		p.X = left + p.Width/2
		if i > 0 {
			p.X = max(p.X, d.Participants[i-1].X+columnGap)
		}
		for _, r := range d.Rows {
			if low := min(r.from, r.to); max(r.from, r.to) == i && low < i {
				p.X = max(p.X, d.Participants[low].X+r.width()+2*pad)
			}
		}
		p.Left = p.X - p.Width/2
		left = p.Left + p.Width + pad
		for _, r := range d.Rows {
			if r.from == i && r.to == i {
				left = max(left, p.X+loop+pad+r.width())
			}
		}
	}
	d.TimeX = timeWidth - pad
	d.WireX = left + pad
	d.Width = d.WireX + int(math.Ceil(cell*(3*wireBytes-1))) + pad
}

// width returns the width of the text in pixels.
func (r *row) width() (most int) {
	for _, l := range r.Label {
		most = max(most, int(cell*float64(cells(l.Text))))
	}
	return most
}

// loop is the width of an arrow from a participant to itself.
const loop = 24

// arrow draws the arrow, and puts the text beside the sender.
func (d *diagram) arrow(r *row) {
	from, to, y := d.Participants[r.from].X, d.Participants[r.to].X, r.ArrowY
	switch {
	case r.from == r.to:
		r.X, r.Anchor = from+loop+4, "start"
		r.Line = fmt.Sprintf("M%d %dh%dv10H%d", from, y-10, loop, from+6)
		r.Head = fmt.Sprintf("M%d %dl8 -4v8z", from+1, y)
	default:
		right := 1
		if r.Anchor = "start"; to < from {
			right, r.Anchor = -1, "end"
		}
		r.X = from + right*pad
		r.Line = fmt.Sprintf("M%d %dH%d", from, y, to-6*right)
		r.Head = fmt.Sprintf("M%d %dl%d -4v8z", to-right, y, -8*right)
	}
}
