package scenarios

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// segmentSize is how many octets a segment of a capture holds at the most.
const segmentSize = 1460

// ErrNoAddress is that a tapped connection has no IP addresses, which a packet
// can't do without.
var ErrNoAddress = errors.New("eve: no IP address")

// WritePcap writes what Eve has seen so far as a pcapng file, which Wireshark
// opens. Octets, their order and their times are those of the wire; she sat
// above TCP, so the packets around them are made up: raw IP, with a handshake
// at the start of each connection and a FIN for each direction that ended.
//
// A TLS key log (tls.Config.KeyLogWriter), unless it is empty, becomes part of
// the file, as a Decryption Secrets Block: Wireshark then shows what was said,
// and whoever has the file can read it. The error is [ErrNoAddress] for a
// connection that is not one of TCP, or the writer's.
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
	flows := map[*wire]*flow{}
	for _, event := range e.events {
		f := flows[event.wire]
		if f == nil {
			if f, err = newFlow(file, event.wire); err != nil {
				return err
			}
			flows[event.wire] = f
		}
		if err := f.show(event); err != nil {
			return err
		}
	}
	return file.Flush()
}

// flow makes the packets of one connection.
type flow struct {
	file *pcapgo.NgWriter
	ends [2]netip.AddrPort
	rest [2][]byte // what is not yet in a packet
	next [2]uint32 // sequence number
}

func newFlow(file *pcapgo.NgWriter, w *wire) (*flow, error) {
	f := &flow{file: file, rest: w.octets}
	for i, addr := range w.ends {
		end, err := netip.ParseAddrPort(addr.String())
		if err != nil {
			return nil, fmt.Errorf("%w: %q", ErrNoAddress, addr)
		}
		f.ends[i] = netip.AddrPortFrom(end.Addr().Unmap().WithZone(""), end.Port())
	}
	return f, nil
}

// show makes the packets of an event.
func (f *flow) show(e event) error {
	to := 1 - e.from
	switch e.did {
	case opened:
		return errors.Join(
			f.segment(e.at, clientSide, layers.TCP{SYN: true}, nil),
			f.segment(e.at, serverSide, layers.TCP{SYN: true, ACK: true}, nil),
			f.segment(e.at, clientSide, layers.TCP{ACK: true}, nil))
	case ended:
		return errors.Join(
			f.segment(e.at, e.from, layers.TCP{FIN: true, ACK: true}, nil),
			f.segment(e.at, to, layers.TCP{ACK: true}, nil))
	}
	octets := f.rest[e.from][:e.octets]
	f.rest[e.from] = f.rest[e.from][e.octets:]
	for part := range slices.Chunk(octets, segmentSize) {
		if err := f.segment(e.at, e.from, layers.TCP{PSH: true, ACK: true}, part); err != nil {
			return err
		}
	}
	return f.segment(e.at, to, layers.TCP{ACK: true}, nil)
}

// segment writes one packet and counts what it takes of the sequence.
func (f *flow) segment(at time.Time, from side, tcp layers.TCP, payload []byte) error {
	source, target := f.ends[from], f.ends[1-from]
	tcp.SrcPort, tcp.DstPort = layers.TCPPort(source.Port()), layers.TCPPort(target.Port())
	tcp.Seq, tcp.Window = f.next[from], 1<<16-1
	if tcp.ACK {
		tcp.Ack = f.next[1-from]
	}
	f.next[from] += uint32(len(payload))
	if tcp.SYN || tcp.FIN {
		f.next[from]++
	}
	ip := network(source.Addr(), target.Addr())
	packet := gopacket.NewSerializeBuffer()
	err := errors.Join(tcp.SetNetworkLayerForChecksum(ip),
		gopacket.SerializeLayers(packet, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ip, &tcp, gopacket.Payload(payload)))
	if err != nil {
		return err
	}
	size := len(packet.Bytes())
	return f.file.WritePacket(gopacket.CaptureInfo{Timestamp: at, CaptureLength: size, Length: size}, packet.Bytes())
}

// networkLayer is a header of IPv4 or IPv6.
type networkLayer interface {
	gopacket.NetworkLayer
	gopacket.SerializableLayer
}

func network(source, target netip.Addr) networkLayer {
	if source.Is4() {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
	}
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolTCP, SrcIP: source.AsSlice(), DstIP: target.AsSlice()}
}
