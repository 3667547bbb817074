// Package piece has the lines of a running STREAM: what a client sends beside and in front of its bytes
// ([Parse], [Message.Append]), and what a server sends ([AppendHeader], [ParseHeader], [ParseTaken],
// [ParseClosed]). README.md of package protocol describes them.
package piece

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/protocol"
)

const (
	// Max is the maximum size of a piece in bytes, in either direction.
	Max = 65536
	// MaxHeader is the maximum length of the line in front of a piece, with its CRLF.
	MaxHeader = len("DATA 65536\r\n")
	// Buffer is how many bytes a server holds for the backend. It reads no more from the client then.
	Buffer = 1 << 20
	// Ahead is how many bytes a client should send at most beyond those that the backend has taken, so that the
	// server goes on reading and sees PING, ABORT and BREAK soon.
	Ahead = Buffer / 2
)

// maxSpeed is the maximum speed of a serial line in bit/s. It fits an int everywhere.
const maxSpeed = 99_999_999

// Message is a line of the client in a stream.
type Message struct {
	// Verb is one of the Verb constants of package protocol, or empty for a line that has no place in a stream.
	Verb string
	// Size of DATA is the number of bytes that follow. Zero ends the client's direction.
	Size int
	// Active of PING means that the ping counts as activity.
	Active bool
	// Speed and Form of LINE set a serial line: 9600 bit/s and "7E1", which is data bits (5 to 8), parity (N, E, O,
	// M or S) and stop bits (1, 1.5 or 2).
	Speed int
	Form  string
	// Columns and Rows of WINDOW are the size of a terminal, 1 to 65,535 each.
	Columns, Rows int
}

// Verbs are the verbs of the lines in a stream.
var Verbs = []string{
	protocol.VerbAbort, protocol.VerbBreak, protocol.VerbData, protocol.VerbLine, protocol.VerbPing, protocol.VerbWindow,
}

// Late reports whether a line with this verb may arrive after the end of its stream. It has no reply then.
func Late(verb string) bool {
	switch verb {
	case protocol.VerbAbort, protocol.VerbBreak, protocol.VerbLine, protocol.VerbPing, protocol.VerbWindow:
		return true
	}
	return false
}

// Parse parses a line of the client, without its CRLF. The only error is protocol.ErrArgument, for a malformed
// DATA, LINE or WINDOW. The message has its Verb then.
func Parse(line []byte) (Message, error) {
	verb, argument, found := bytes.Cut(line, []byte{' '})
	var upper [protocol.MaxVerb + 1]byte
	switch string(protocol.AppendUpper(upper[:0], verb)) {
	case protocol.VerbData:
		return parseData(argument)
	case protocol.VerbLine:
		return parseLine(string(argument))
	case protocol.VerbWindow:
		return parseWindow(argument)
	case protocol.VerbPing:
		if active := bytes.EqualFold(argument, []byte("ACTIVE")); active || !found {
			return Message{Verb: protocol.VerbPing, Active: active}, nil
		}
	case protocol.VerbAbort:
		if !found {
			return Message{Verb: protocol.VerbAbort}, nil
		}
	case protocol.VerbBreak:
		if !found {
			return Message{Verb: protocol.VerbBreak}, nil
		}
	}
	return Message{}, nil
}

func parseData(argument []byte) (Message, error) {
	n, err := number(argument, 0, Max)
	return Message{Verb: protocol.VerbData, Size: n}, err
}

func parseWindow(argument []byte) (Message, error) {
	first, second, _ := bytes.Cut(argument, []byte{' '})
	columns, err := number(first, 1, 65535)
	if err != nil {
		return Message{Verb: protocol.VerbWindow}, err
	}
	rows, err := number(second, 1, 65535)
	return Message{Verb: protocol.VerbWindow, Columns: columns, Rows: rows}, err
}

func parseLine(argument string) (Message, error) {
	speed, form, err := ParseLine(argument)
	return Message{Verb: protocol.VerbLine, Speed: speed, Form: form}, err
}

// ParseLine parses speed and form of a serial line: "9600,7E1". Its error is protocol.ErrArgument.
func ParseLine(argument string) (speed int, form string, err error) {
	digits, form, _ := strings.Cut(argument, ",")
	if speed, err = number([]byte(digits), 1, maxSpeed); err != nil {
		return 0, "", err
	}
	form = strings.ToUpper(form)
	if len(form) < 3 || form[0] < '5' || form[0] > '8' || !strings.Contains("NEOMS", form[1:2]) {
		return 0, "", protocol.ErrArgument
	}
	if stop := form[2:]; stop != "1" && stop != "1.5" && stop != "2" {
		return 0, "", protocol.ErrArgument
	}
	return speed, form, nil
}

// number parses a decimal number from low to high.
func number(digits []byte, low, high int64) (int, error) {
	n, err := protocol.ParseCount(digits)
	if err != nil || n < low || n > high {
		return 0, protocol.ErrArgument
	}
	return int(n), nil
}

// Append appends the line with its CRLF. The message must have one of the verbs.
func (m Message) Append(dst []byte) []byte {
	dst = append(dst, m.Verb...)
	switch m.Verb {
	case protocol.VerbData:
		dst = strconv.AppendInt(append(dst, ' '), int64(m.Size), 10)
	case protocol.VerbLine:
		dst = strconv.AppendInt(append(dst, ' '), int64(m.Speed), 10)
		dst = append(append(dst, ','), m.Form...)
	case protocol.VerbWindow:
		dst = strconv.AppendInt(append(dst, ' '), int64(m.Columns), 10)
		dst = strconv.AppendInt(append(dst, ' '), int64(m.Rows), 10)
	case protocol.VerbPing:
		if m.Active {
			dst = append(dst, " ACTIVE"...)
		}
	}
	return append(dst, '\r', '\n')
}

// AppendHeader appends the line in front of a piece of the backend: "151 n" and CRLF. Zero means that the backend
// has ended its direction.
func AppendHeader(dst []byte, n int) []byte { return appendNumber(dst, protocol.CodePiece, int64(n)) }

// AppendTaken appends the answer to a PING: "153 n" and CRLF.
func AppendTaken(dst []byte, n int64) []byte { return appendNumber(dst, protocol.CodeTaken, n) }

func appendNumber(dst []byte, code protocol.Code, n int64) []byte {
	dst = append(strconv.AppendInt(dst, int64(code), 10), ' ')
	return append(strconv.AppendInt(dst, n, 10), '\r', '\n')
}

// ParseHeader parses the text of a 151: the size of the piece that follows. Its error is protocol.ErrReply.
func ParseHeader(text string) (int, error) {
	n, err := number([]byte(text), 0, Max)
	if err != nil {
		return 0, protocol.ErrReply
	}
	return n, nil
}

// ParseTaken parses the text of a 153. Its error is protocol.ErrReply.
func ParseTaken(text string) (int64, error) {
	n, err := protocol.ParseCount([]byte(text))
	if err != nil {
		return 0, protocol.ErrReply
	}
	return n, nil
}

// Closed returns the text of the 250 that ends a stream: the bytes that the backend took and gave.
func Closed(in, out int64) string {
	return "closed " + strconv.FormatInt(in, 10) + " " + strconv.FormatInt(out, 10)
}

// ParseClosed parses the text of the 250 that ends a stream. Its error is protocol.ErrReply.
func ParseClosed(text string) (in, out int64, err error) {
	numbers, closed := strings.CutPrefix(text, "closed ")
	first, second, _ := strings.Cut(numbers, " ")
	if in, err = ParseTaken(first); err == nil {
		out, err = ParseTaken(second)
	}
	if !closed || err != nil {
		return 0, 0, protocol.ErrReply
	}
	return in, out, nil
}
