package specs

import (
	"os"

	"github.com/creack/pty"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// adapter is a serial device that can be unplugged: a terminal behind a name.
type adapter struct {
	name string
	far  *os.File
}

func (a *adapter) plugIn() {
	GinkgoHelper()
	far, near, err := pty.Open()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Symlink(near.Name(), a.name)).To(Succeed())
	a.far = far
	DeferCleanup(func() { _, _ = far.Close(), near.Close() })
}

func (a *adapter) unplug() {
	GinkgoHelper()
	Expect(os.Remove(a.name)).To(Succeed())
	Expect(a.far.Close()).To(Succeed())
}

// hears reads a text at the far end.
func (a *adapter) hears(text string) {
	GinkgoHelper()
	got := make([]byte, len(text))
	for n := 0; n < len(got); {
		more, err := a.far.Read(got[n:])
		Expect(err).NotTo(HaveOccurred())
		n += more
	}
	Expect(string(got)).To(Equal(text))
}

var _ = Describe("A serial device as the backend", Label("area:command", "area:stream", "area:backend"), func() {
	c := withCLI()

	It("may be unplugged, which the operator is told, and the next session finds it again", func(ctx SpecContext) {
		a := &adapter{name: c.Path("ttyUSB0")}
		s := c.Serve(ctx, "--backend", "serial:"+a.name+",115200,8N1")
		Expect(stderr(s.Session)).To(MatchRegexp(`level=WARN msg="the backend can't be reached now: it is tried again for each session" backend=\S+ ` +
			`error="there is no serial device \S+ttyUSB0: plug it in`))
		Expect(s.Connect(ctx, "alice", "--open")).To(failed(6, "the server can't reach its backend"))

		a.plugIn()
		alice, in := c.Piped(s.As("connect", "alice", "--open")...)
		say(in, "*IDN?\r")
		a.hears("*IDN?\r")
		say(a.far, "RIG,1\r")
		says(ctx, alice, "^RIG,1\r$")
		a.unplug()
		ended(ctx, alice)
		Expect(alice.ExitCode()).NotTo(BeZero())
		says(ctx, s.Err, `level=WARN msg="the serial device has vanished: plug it in again`)

		a.plugIn()
		bob, in := c.Piped(s.As("connect", "bob", "--open")...)
		say(in, "again\r")
		a.hears("again\r")
		says(ctx, s.Err, `level=INFO msg="the serial device is back"`)
		bob.Kill()
	}, limit)

	It("gets another speed from the menu of a console, until its session ends", func(ctx SpecContext) {
		a := &adapter{name: c.Path("ttyUSB0")}
		a.plugIn()
		speed := func() uint32 {
			settings, err := unix.IoctlGetTermios(int(a.far.Fd()), unix.TCGETS2)
			Expect(err).NotTo(HaveOccurred())
			return settings.Ospeed
		}
		s := c.Serve(ctx, "--backend", "serial:"+a.name+",115200,8N1")
		alice := c.Terminal(s.As("connect", "alice", "--open")...)
		says(ctx, alice, "seated at .*\r\n")
		Expect(speed()).To(BeEquivalentTo(115200))
		alice.Type(escape + "l9600\r")
		says(ctx, alice, "sent 9600,8N1: a serial line has it until this session ends, another backend ignores it\r\n")
		Eventually(ctx, speed).Should(BeEquivalentTo(9600))
		alice.Type(escape + "b" + escape + "q")
		Expect(alice.ExitCode(ctx)).To(Equal(0))
		bob := c.Terminal(s.As("connect", "bob", "--open")...)
		says(ctx, bob, "seated at .*\r\n")
		Expect(speed()).To(BeEquivalentTo(115200))
	}, limit)

	It("must be one", func(ctx SpecContext) {
		Expect(c.Run(ctx, "", "serve", "--listen", "127.0.0.1:0", "--state", c.Path("state"), "--backend", "serial:/dev/null,9600,8N1")).To(
			did(2, "", MatchRegexp(`sallyport serve: --backend serial: /dev/null is no serial device: look up its name with [^\n]*\nsee sallyport serve --help\n$`)))
	}, limit)
})
