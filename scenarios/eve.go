package scenarios

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

func eveMember() *member {
	return &member{
		summary: "an eavesdropper on every byte between clients and server",
		verbs: []verb{
			{name: "pcap", args: "FILE", least: 1, most: 1, run: doPcap, summary: "write the bytes so far, and the keys that decrypt them, as a pcapng file for Wireshark into the scenario's folder (see --keep)"},
			{name: "saw", args: "TEXT", least: 1, most: 1, check: true, run: doSaw, summary: "wait until this text of at least 4 bytes has crossed the network in the clear"},
		},
	}
}

func doSaw(ctx context.Context, c *call) (string, error) {
	return "", c.stage.until(ctx, c.negated, func() (bool, error) {
		return c.stage.eve.Saw(c.stage.secrets.reveal(c.args[0])), nil
	})
}

func doPcap(_ context.Context, c *call) (string, error) {
	name := c.args[0]
	if name != filepath.Base(name) {
		return "", errOutside(name)
	}
	file, err := os.OpenFile(filepath.Join(c.stage.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	return "", errors.Join(c.stage.eve.WritePcap(file, c.stage.keyLog.Bytes()), file.Close())
}

// Eve is an eavesdropper on the network. She sees every byte between clients and the server, in both
// directions, and its time. [Eve.WritePcap] writes them to a file. The zero Eve is ready to use. It is safe for
// concurrent use.
type Eve struct {
	mu     sync.Mutex
	flows  []*flow
	events []event // of all connections, in order
}

// side is one end of a connection.
type side int

const (
	clientSide side = iota
	serverSide
)

// A flow is a connection that Eve sees. The bytes of each side are one stream, so that a search finds a text
// in several writes.
type flow struct {
	ends  [2]net.Addr
	bytes [2][]byte
	ended [2]bool
}

// An event is an action of one side of a connection.
type event struct {
	*flow
	at   time.Time
	did  action
	from side
	// size is the number of bytes sent.
	size int
}

type action int

const (
	opened action = iota
	sent
	ended
)

// DialContext connects, as [net.Dialer.DialContext] does. Eve sees the connection.
func (e *Eve) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return e.Tap(c), nil
}

// Tap returns a connection for the client's use in place of c. Eve sees the connection.
func (e *Eve) Tap(c net.Conn) net.Conn {
	f := &flow{ends: [2]net.Addr{c.LocalAddr(), c.RemoteAddr()}}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.flows = append(e.flows, f)
	e.events = append(e.events, event{flow: f, at: time.Now(), did: opened})
	return &tap{Conn: c, eve: e, flow: f}
}

// Saw reports whether s has crossed the network in the clear, in one piece or several.
func (e *Eve) Saw(s string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flows {
		if bytes.Contains(f.bytes[clientSide], []byte(s)) || bytes.Contains(f.bytes[serverSide], []byte(s)) {
			return true
		}
	}
	return false
}

// Excerpt returns at most n bytes of the beginning of what the first client sent.
func (e *Eve) Excerpt(n int) []byte {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.flows) == 0 {
		return nil
	}
	first := e.flows[0].bytes[clientSide]
	return bytes.Clone(first[:min(n, len(first))])
}

// Size returns the number of bytes so far.
func (e *Eve) Size() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.flows {
		n += len(f.bytes[clientSide]) + len(f.bytes[serverSide])
	}
	return n
}

// saw notes bytes, unless the side has ended its direction.
func (e *Eve) saw(f *flow, from side, p []byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(p) == 0 || f.ended[from] {
		return
	}
	f.bytes[from] = append(f.bytes[from], p...)
	e.events = append(e.events, event{f, time.Now(), sent, from, len(p)})
}

// sawEnd notes the end of a direction, once.
func (e *Eve) sawEnd(f *flow, from side) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !f.ended[from] {
		f.ended[from] = true
		e.events = append(e.events, event{flow: f, at: time.Now(), did: ended, from: from})
	}
}

type tap struct {
	net.Conn
	eve  *Eve
	flow *flow
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.eve.saw(t.flow, serverSide, p[:n])
	if err == io.EOF {
		t.eve.sawEnd(t.flow, serverSide)
	}
	return n, err
}

// Write notes the bytes before it sends them, so that they come before their answer.
func (t *tap) Write(p []byte) (int, error) {
	t.eve.saw(t.flow, clientSide, p)
	return t.Conn.Write(p)
}

func (t *tap) Close() error {
	t.eve.sawEnd(t.flow, clientSide)
	return t.Conn.Close()
}

// CloseWrite ends the client's direction, if the connection below can.
func (t *tap) CloseWrite() error {
	half, ok := t.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	t.eve.sawEnd(t.flow, clientSide)
	return half.CloseWrite()
}

// segmentSize bounds the bytes of a segment in a capture.
const segmentSize = 1460

// WritePcap writes the connections so far as a pcapng file for Wireshark. The bytes, their order and their
// times are real. The packets are made up, because Eve works above TCP: raw IP, with a handshake at the start of
// each connection and a FIN for each direction that ended.
//
// If the TLS key log (see [KeyLog]) is not empty, the file contains it as a Decryption Secrets Block: everybody
// who has the file can then read the plaintext. WritePcap returns an error if a connection is not TCP.
func (e *Eve) WritePcap(w io.Writer, keyLog []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	file, err := pcapgo.NewNgWriter(w, layers.LinkTypeRaw)
	if err != nil {
		return err
	}
	if len(keyLog) > 0 {
		if err := file.WriteDecryptionSecretsBlock(pcapgo.DSB_SECRETS_TYPE_TLS, keyLog); err != nil {
			return err
		}
	}
	all := map[*flow]*packets{}
	for _, event := range e.events {
		p := all[event.flow]
		if p == nil {
			if p, err = newPackets(file, event.flow); err != nil {
				return err
			}
			all[event.flow] = p
		}
		if err := p.write(event); err != nil {
			return err
		}
	}
	return file.Flush()
}

// packets writes the packets of one connection.
type packets struct {
	file *pcapgo.NgWriter
	ends [2]netip.AddrPort
	// rest has the bytes that are in no packet yet.
	rest [2][]byte
	// next has the next sequence numbers.
	next [2]uint32
}

func newPackets(file *pcapgo.NgWriter, f *flow) (*packets, error) {
	p := &packets{file: file, rest: f.bytes}
	for i, addr := range f.ends {
		end, err := netip.ParseAddrPort(addr.String())
		if err != nil {
			return nil, fmt.Errorf("scenarios: a packet needs an IP address, and the connection has %q", addr)
		}
		p.ends[i] = netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port())
	}
	return p, nil
}

// write writes the packets of an event.
func (p *packets) write(e event) error {
	to := 1 - e.from
	switch e.did {
	case opened:
		return errors.Join(
			p.segment(e.at, clientSide, layers.TCP{SYN: true}, nil),
			p.segment(e.at, serverSide, layers.TCP{SYN: true, ACK: true}, nil),
			p.segment(e.at, clientSide, layers.TCP{ACK: true}, nil))
	case ended:
		return errors.Join(
			p.segment(e.at, e.from, layers.TCP{FIN: true, ACK: true}, nil),
			p.segment(e.at, to, layers.TCP{ACK: true}, nil))
	}
	payload := p.rest[e.from][:e.size]
	p.rest[e.from] = p.rest[e.from][e.size:]
	for part := range slices.Chunk(payload, segmentSize) {
		if err := p.segment(e.at, e.from, layers.TCP{PSH: true, ACK: true}, part); err != nil {
			return err
		}
	}
	return p.segment(e.at, to, layers.TCP{ACK: true}, nil)
}

// segment writes one packet and counts its sequence numbers.
func (p *packets) segment(at time.Time, from side, tcp layers.TCP, payload []byte) error {
	source, target := p.ends[from], p.ends[1-from]
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(source.Port()), layers.TCPPort(target.Port())
	tcp.Seq, tcp.Window = p.next[from], 1<<16-1
	if tcp.ACK {
		tcp.Ack = p.next[1-from]
	}
	p.next[from] += uint32(len(payload))
	if tcp.SYN || tcp.FIN {
		p.next[from]++
	}
	ip := networkOf(source.Addr(), target.Addr())
	packet := gopacket.NewSerializeBuffer()
	err := errors.Join(tcp.SetNetworkLayerForChecksum(ip),
		gopacket.SerializeLayers(packet, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, &tcp, gopacket.Payload(payload)))
	if err != nil {
		return err
	}
	size := len(packet.Bytes())
	return p.file.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: size, Length: size}, packet.Bytes())
}

// networkLayer is a header of IPv4 or IPv6.
type networkLayer interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}

func networkOf(source, target netip.Addr) networkLayer {
	if source.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
}

// A KeyLog is a TLS key log in memory, for tls.Config.KeyLogWriter: a line LABEL CLIENT-RANDOM SECRET for
// each secret. It decrypts a capture (see [Eve.WritePcap]). The zero KeyLog is ready to use. It is safe for
// concurrent use.
type KeyLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write takes a line from crypto/tls.
func (k *KeyLog) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.Write(p)
}

// Bytes returns the lines so far.
func (k *KeyLog) Bytes() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	return bytes.Clone(k.text.Bytes())
}
