// Package hostile has servers and clients of each protocol that sallyport probe speaks. They log in as they must, up to
// the message at which they misbehave.
package hostile

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// A Fault is a way to misbehave at one message. The zero Fault is none.
type Fault struct {
	// How is one of [Ways], or in TLS one of [TLSWays].
	How string
	// At is the number of the message among those that the peer sends, from 1. For [InTLS] it is the TLS handshake.
	At int
}

// InTLS is the place of a [Fault] in the TLS handshake.
const InTLS = -1

// Ways to misbehave in place of a message:
//
//   - drips: it comes byte by byte, and never ends
//   - hangs: nothing comes
//   - closes: the connection ends
//   - resets: the connection ends with a reset
//   - halves: half of it comes, and the connection ends
//   - floods: a megabyte without the end of a line comes
//   - chatters: harmless messages come without end
//   - garbage: bytes come that are no message of the protocol
//
// Another way, at the message before TLS alone, is goes-on: more comes behind it in the clear.
var Ways = []string{"drips", "hangs", "closes", "resets", "halves", "floods", "chatters", "garbage"}

// TLSWays are the ways to misbehave in the TLS handshake: [Ways] and
//
//   - plain: the next message comes without TLS
//   - old: the peer speaks TLS 1.1 at most
var TLSWays = append(slices.Clone(Ways), "plain", "old")

// Faults returns all faults of a peer that sends so many messages.
func Faults(last int, inTLS bool) (all []Fault) {
	for at := 1; at <= last; at++ {
		for _, how := range Ways {
			all = append(all, Fault{how, at})
		}
	}
	for _, how := range TLSWays {
		if inTLS {
			all = append(all, Fault{how, InTLS})
		}
	}
	return all
}

// errMisbehaved ends a peer that has misbehaved.
var errMisbehaved = errors.New("misbehaved")

// patience bounds a peer that nobody ends.
const patience = time.Minute

// A wire is one end of a connection, or of the pipes of a process.
type wire struct {
	conn  io.ReadWriteCloser
	in    *bufio.Reader
	fault Fault
	sent  int
	// filler is a harmless message of the protocol.
	filler string
	// record is the beginning of a TLS record of this side.
	record []byte
	tls    *tls.Config
}

func (w *wire) carry(conn io.ReadWriteCloser) { w.conn, w.in = conn, bufio.NewReaderSize(conn, 1<<17) }

// Write sends a message, or misbehaves.
func (w *wire) Write(message []byte) (int, error) {
	w.sent++
	switch {
	case w.sent != w.fault.At:
		return w.conn.Write(message)
	case w.fault.How == "goes-on":
		return w.conn.Write(append(slices.Clone(message), w.filler...))
	}
	return 0, w.misbehave(message)
}

// say sends lines as one message.
func (w *wire) say(lines ...string) error {
	_, err := io.WriteString(w, strings.Join(lines, "\r\n")+"\r\n")
	return err
}

// line reads a line.
func (w *wire) line() (string, error) {
	line, err := w.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

func (w *wire) misbehave(message []byte) error {
	switch w.fault.How {
	case "drips":
		w.drip(message[:len(message)-1])
	case "resets":
		if tcp, ok := w.socket().(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		return errMisbehaved
	case "closes":
		return errMisbehaved
	case "halves":
		_, _ = w.conn.Write(message[:len(message)/2])
		return errMisbehaved
	case "floods":
		_, _ = w.conn.Write(bytes.Repeat([]byte("x"), 1<<20))
	case "chatters":
		w.chatter()
	case "garbage":
		_, _ = w.conn.Write([]byte("\x00\xff\x1b[31m<!\x80\x01\x02\x03\x04\x05\r\n"))
	case "plain":
		_, _ = w.conn.Write(message)
	}
	_, _ = io.Copy(io.Discard, w.conn) // until the other side ends it
	return errMisbehaved
}

func (w *wire) drip(bytes []byte) {
	for _, b := range bytes {
		if _, err := w.conn.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (w *wire) chatter() {
	for range 1 << 20 {
		if _, err := io.WriteString(w.conn, w.filler); err != nil {
			return
		}
	}
}

func (w *wire) socket() io.Closer {
	var conn io.Closer = w.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if read, ok := conn.(*unread); ok {
		conn = read.Conn
	}
	return conn
}

// serveTLS begins TLS, or misbehaves when the client has begun it.
func (w *wire) serveTLS() error {
	if _, err := w.in.Peek(1); err != nil {
		return err
	}
	if w.in.Buffered() > 0 {
		w.conn = &unread{w.conn.(net.Conn), w.in}
	}
	return w.secure(tls.Server)
}

// An unread is a connection from which a part has been read into a buffer.
type unread struct {
	net.Conn
	in *bufio.Reader
}

func (u *unread) Read(p []byte) (int, error) { return u.in.Read(p) }

// secure begins TLS, or misbehaves. begin is tls.Server or tls.Client.
func (w *wire) secure(begin func(net.Conn, *tls.Config) *tls.Conn) error {
	switch {
	case w.fault.At == InTLS && w.fault.How == "plain":
		return w.misbehave([]byte(strings.Repeat(w.filler, 10)))
	case w.fault.At == InTLS && w.fault.How == "old":
		w.tls.MinVersion, w.tls.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	case w.fault.At == InTLS:
		return w.misbehave(w.record)
	}
	secure := begin(w.conn.(net.Conn), w.tls)
	if err := secure.Handshake(); err != nil {
		return err
	}
	w.carry(secure)
	return nil
}

// run lets one end of a connection play its side.
func run(conn io.ReadWriteCloser, w *wire, play func(*wire) error) error {
	if socket, ok := conn.(net.Conn); ok {
		_ = socket.SetDeadline(time.Now().Add(patience))
	}
	w.carry(conn)
	err := play(w)
	_ = w.socket().Close()
	return err
}
