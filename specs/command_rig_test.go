package specs

import (
	"bufio"
	"crypto/sha256"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// rig is a device that one party may drive at a time. It notices a second one. It answers each line with "ok" and the
// line, and obeys some:
//
//	crash    it resets the connection
//	bye      it ends its direction, and goes on to listen
//	flood    it says more than all buffers hold
//	set      it says nothing
//	slow     the same, but it is busy for a second
//	hash     it takes the rest as it comes, gives it back, and ends with its SHA-256
type rig struct {
	addr             string
	drivers, clashes atomic.Int32
	heard            atomic.Int64 // lines
}

const flood = 24 << 20

func newRig() *rig {
	GinkgoHelper()
	r := &rig{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(l.Close)
	r.addr = l.Addr().String()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if r.drivers.Add(1) > 1 {
				r.clashes.Add(1)
			}
			go r.serve(conn)
		}
	}()
	DeferCleanup(func(ctx SpecContext) {
		Eventually(ctx, r.drivers.Load).Should(BeZero(), "it is left by all")
		Expect(r.clashes.Load()).To(BeZero(), "parties that drove while another did")
	}, limitOfNode)
	return r
}

func (r *rig) serve(conn net.Conn) {
	defer conn.Close()
	defer r.drivers.Add(-1)
	for in := bufio.NewReader(conn); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		r.heard.Add(1)
		switch line {
		case "crash\n":
			_ = conn.(*net.TCPConn).SetLinger(0)
			return
		case "bye\n":
			_ = conn.(*net.TCPConn).CloseWrite()
		case "flood\n":
			_, _ = conn.Write(make([]byte, flood))
		case "hash\n":
			sum := sha256.New()
			_, _ = io.Copy(io.MultiWriter(sum, conn), in)
			_, _ = conn.Write(sum.Sum(nil))
			return
		case "slow\n":
			time.Sleep(time.Second)
		case "set\n":
		default:
			_, _ = io.WriteString(conn, "ok "+line)
		}
	}
}

// program is a program that knows a host and a port, and nothing of Sallyport.
type program struct {
	net.Conn
	in *bufio.Reader
}

func runProgram(address string) *program {
	GinkgoHelper()
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	conn, err := net.Dial(network, address)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = conn.Close() })
	Expect(conn.SetDeadline(time.Now().Add(time.Minute))).To(Succeed())
	return &program{conn, bufio.NewReader(conn)}
}

// asks sends a line and returns the answer.
func (p *program) asks(line string) string {
	GinkgoHelper()
	say(p, line+"\n")
	answer, err := p.in.ReadString('\n')
	Expect(err).NotTo(HaveOccurred())
	return strings.TrimSuffix(answer, "\n")
}

// rest returns what comes until the end, and how it ended: nil for an end in order.
func (p *program) rest() (string, error) {
	text, err := io.ReadAll(p.in)
	return string(text), err
}

func (p *program) halfClose() {
	GinkgoHelper()
	Expect(p.Conn.(interface{ CloseWrite() error }).CloseWrite()).To(Succeed())
}

// isResetAtOnce expects that a connection to this address is reset without a byte, perhaps before it is known to exist.
func isResetAtOnce(address string) {
	GinkgoHelper()
	conn, err := net.Dial("tcp", address)
	if err == nil {
		defer conn.Close()
		Expect(conn.SetDeadline(time.Now().Add(time.Minute))).To(Succeed())
		_, err = conn.Read(make([]byte, 1))
	}
	Expect(err).To(MatchError(syscall.ECONNRESET))
}

// isReset expects that the program was reset, after it could read the rest.
func (p *program) isReset(rest string) {
	GinkgoHelper()
	text, err := p.rest()
	Expect(text).To(Equal(rest))
	Expect(err).To(MatchError(syscall.ECONNRESET))
}
