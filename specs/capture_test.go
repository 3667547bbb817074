package specs

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/gopacket/gopacket/tcpassembly"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios"
)

var _ = Describe("A capture", Label("area:privacy"), func() {
	DescribeTable("has all bytes that were sent, in valid packets",
		func(ctx SpecContext, address string) {
			if l, err := net.Listen("tcp", address); err != nil {
				Skip("no such address here: " + err.Error())
			} else {
				Expect(l.Close()).To(Succeed())
			}
			long, eve := strings.Repeat("0123456789", 10_000), &scenarios.Eve{}
			c, err := eve.DialContext(ctx, "tcp", listener("tcp", address, func(c net.Conn) {
				Expect(hear(c, len(long))).To(Equal(long))
				say(c, "an answer")
			}))
			Expect(err).NotTo(HaveOccurred())
			say(c, long)
			Expect(io.ReadAll(c)).To(BeEquivalentTo("an answer"))
			Expect(c.Close()).To(Succeed())

			packets := read(capture(eve, nil))
			Expect(reassembled(packets)).To(ConsistOf(long, "an answer"))
			first, last := flags(packets[:3]), flags(packets[len(packets)-4:])
			Expect(first).To(Equal([]string{"SYN", "SYN ACK", "ACK"}))
			Expect(last).To(Equal([]string{"FIN ACK", "ACK", "FIN ACK", "ACK"}))
			for i, packet := range packets[:len(packets)-1] {
				if fin := segment(packet); fin.FIN {
					Expect(segment(packets[i+1]).Ack).To(Equal(fin.Seq + 1))
				}
			}
			Expect(len(packets)).To(BeNumerically(">", 7+len(long)/1500), "control: it has several segments")
		},
		Entry("over IPv4", "127.0.0.1:0", limit),
		Entry("over IPv6", "[::1]:0", limit),
	)

	It("tells the connections apart", func(ctx SpecContext) {
		eve := &scenarios.Eve{}
		for _, sent := range []string{"one", "two"} {
			c, err := eve.DialContext(ctx, "tcp", listener("tcp", "127.0.0.1:0", func(c net.Conn) { hear(c, 3) }))
			Expect(err).NotTo(HaveOccurred())
			defer c.Close()
			say(c, sent)
		}
		Expect(reassembled(read(capture(eve, nil)))).To(ConsistOf("one", "two"))
		Expect(eve.Saw("onetwo")).To(BeFalse())
	}, limit)

	It("has the TLS keys only if they are given", func(ctx SpecContext) {
		h := start(nil)
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed())
		keys := h.KeyLog.Bytes()
		Expect(string(keys)).To(MatchRegexp(`(?m)^CLIENT_TRAFFIC_SECRET_0 [0-9a-f]{64} [0-9a-f]{64,96}$`))
		Expect(bytes.Contains(capture(h.Eve, keys), keys)).To(BeTrue())
		Expect(bytes.Contains(capture(h.Eve, nil), keys[:16])).To(BeFalse())
	}, limit)

	It("can't be made of a connection that has no address", func(SpecContext) {
		eve := &scenarios.Eve{}
		client, server := net.Pipe()
		defer client.Close()
		defer server.Close()
		eve.Tap(client)
		Expect(eve.WritePcap(io.Discard, nil)).To(MatchError(ContainSubstring("a packet needs an IP address")))
	}, limit)

	It("reports that it can't be written", func(ctx SpecContext) {
		h := start(nil)
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed())
		r, w := io.Pipe()
		full := errors.New("no space left on device")
		Expect(r.CloseWithError(full)).To(Succeed())
		Expect(h.Eve.WritePcap(w, nil)).To(MatchError(full))
	}, limit)
})

// capture returns a capture file of all that Eve has seen, with the TLS keys, if any.
func capture(eve *scenarios.Eve, keys []byte) []byte {
	GinkgoHelper()
	var file bytes.Buffer
	Expect(eve.WritePcap(&file, keys)).To(Succeed())
	return file.Bytes()
}

// read decodes a capture file and checks every checksum in it.
func read(file []byte) (packets []gopacket.Packet) {
	GinkgoHelper()
	in, err := pcapgo.NewNgReader(bytes.NewReader(file), pcapgo.DefaultNgReaderOptions)
	Expect(err).NotTo(HaveOccurred())
	for source := gopacket.NewPacketSource(in, in.LinkType()); ; {
		packet, err := source.NextPacket()
		if err == io.EOF {
			return packets
		}
		Expect(err).NotTo(HaveOccurred())
		Expect(packet.ErrorLayer()).To(BeNil())
		Expect(segment(packet).SetNetworkLayerForChecksum(packet.NetworkLayer())).To(Succeed())
		err, wrong := packet.VerifyChecksums()
		Expect(err).NotTo(HaveOccurred())
		Expect(wrong).To(BeEmpty())
		packets = append(packets, packet)
	}
}

func segment(packet gopacket.Packet) *layers.TCP {
	return packet.Layer(layers.LayerTypeTCP).(*layers.TCP)
}

func flags(packets []gopacket.Packet) (all []string) {
	for _, packet := range packets {
		tcp := segment(packet)
		var set []string
		for _, flag := range []struct {
			set  bool
			name string
		}{{tcp.SYN, "SYN"}, {tcp.FIN, "FIN"}, {tcp.PSH, "PSH"}, {tcp.ACK, "ACK"}} {
			if flag.set {
				set = append(set, flag.name)
			}
		}
		all = append(all, strings.Join(set, " "))
	}
	return all
}

// stream is one direction of a connection, assembled from its segments by gopacket.
type stream struct{ bytes bytes.Buffer }

func (s *stream) Reassembled(parts []tcpassembly.Reassembly) {
	defer GinkgoRecover()
	for _, part := range parts {
		Expect(part.Skip).To(BeZero(), "the capture misses bytes")
		s.bytes.Write(part.Bytes)
	}
}

func (*stream) ReassemblyComplete() {}

type streams []*stream

func (all *streams) New(_, _ gopacket.Flow) tcpassembly.Stream {
	*all = append(*all, &stream{})
	return (*all)[len(*all)-1]
}

// reassembled returns the bytes of each direction of each connection, without the empty ones.
func reassembled(packets []gopacket.Packet) (all []string) {
	GinkgoHelper()
	var made streams
	assembler := tcpassembly.NewAssembler(tcpassembly.NewStreamPool(&made))
	for _, packet := range packets {
		assembler.Assemble(packet.NetworkLayer().NetworkFlow(), segment(packet))
	}
	assembler.FlushAll()
	for _, s := range made {
		if s.bytes.Len() > 0 {
			all = append(all, s.bytes.String())
		}
	}
	return all
}

// inCapture returns a function that searches the streams of a capture file.
func inCapture(file []byte) func(string) bool {
	GinkgoHelper()
	all := reassembled(read(file))
	return func(s string) bool {
		return slices.ContainsFunc(all, func(stream string) bool { return strings.Contains(stream, s) })
	}
}
