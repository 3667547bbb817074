package specs

import (
	"context"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

var (
	// commandPath is the path of the built command.
	commandPath string
	// buildFlags are the flags that it is built with.
	buildFlags []string
)

// cli runs the built command in a home directory of its own, with nothing else in the environment.
type cli struct {
	home string
	env  []string
	// asked is what the logs of its servers may have.
	asked *harness.Payload
}

// withCLI gives each spec of a container a cli of its own.
func withCLI() *cli {
	c := &cli{}
	BeforeEach(func() { *c = *newCLI() })
	return c
}

// withServer gives each spec of a container a server.
func (c *cli) withServer(flags ...string) *service {
	s := &service{}
	BeforeEach(func(ctx SpecContext) { *s = *c.Serve(ctx, flags...) }, limitOfNode)
	return s
}

// newCLI returns a cli. harness.CheckLog checks the logs of its servers when its commands have ended.
func newCLI() *cli {
	home := GinkgoT().TempDir()
	c := &cli{home: home, asked: &harness.Payload{}, env: []string{
		"HOME=" + home, "PATH=" + os.Getenv("PATH"), "TERM=xterm",
		"GORACE=atexit_sleep_ms=0", // without it each run takes a second more
		"GOCOVERDIR=" + os.Getenv("SPECS_COVERDIR"),
	}}
	DeferCleanup(c.checkLogs)
	return c
}

func (c *cli) checkLogs() {
	Expect(filepath.WalkDir(c.home, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasPrefix(entry.Name(), "audit.jsonl") {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			err = harness.CheckLog(string(text), *c.asked)
		}
		return err
	})).To(Succeed())
}

// With returns a cli with more environment variables.
func (c *cli) With(env ...string) *cli {
	return &cli{home: c.home, asked: c.asked, env: append(append([]string(nil), c.env...), env...)}
}

// Path returns the path of a file in the home directory.
func (c *cli) Path(name string) string { return filepath.Join(c.home, name) }

// Write makes a file in the home directory.
func (c *cli) Write(name, text string) string {
	GinkgoHelper()
	Expect(os.WriteFile(c.Path(name), []byte(text), 0o600)).To(Succeed())
	return c.Path(name)
}

// Read returns the text of a file in the home directory, or nothing without one.
func (c *cli) Read(name string) string {
	text, _ := os.ReadFile(c.Path(name))
	return string(text)
}

func (c *cli) command(args ...string) *exec.Cmd {
	c.asked.Sent = c.asked.Sent || slices.Contains(args, "--log-payload")
	cmd := exec.Command(commandPath, args...)
	cmd.Dir, cmd.Env = c.home, c.env
	return cmd
}

// begin starts a command, which ends with the spec at the latest.
func begin(name string, cmd *exec.Cmd) *gexec.Session {
	GinkgoHelper()
	s, err := gexec.Start(cmd, gexec.NewPrefixedWriter(name+"> ", GinkgoWriter), gexec.NewPrefixedWriter(name+"! ", GinkgoWriter))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func(ctx SpecContext) {
		ended(ctx, s.Kill())
		Expect(harness.CheckText(stderr(s))).To(Succeed(), "its standard error")
	}, limitOfNode)
	return s
}

// Start runs the command in the background, with nothing on standard input.
func (c *cli) Start(args ...string) *gexec.Session {
	GinkgoHelper()
	return begin(args[0], c.command(args...))
}

// Piped runs the command in the background with a pipe to write to.
func (c *cli) Piped(args ...string) (*gexec.Session, *os.File) {
	GinkgoHelper()
	cmd := c.command(args...)
	in, write, err := os.Pipe()
	Expect(err).NotTo(HaveOccurred())
	cmd.Stdin = in
	s := begin(args[0], cmd)
	Expect(in.Close()).To(Succeed())
	// This comes before the wait for the command's end: a child may run until its input ends.
	DeferCleanup(func() { _ = write.Close() })
	return s, write
}

// Run runs the command to its end, with input on standard input.
func (c *cli) Run(ctx context.Context, input string, args ...string) *gexec.Session {
	GinkgoHelper()
	cmd := c.command(args...)
	cmd.Stdin = strings.NewReader(input)
	s := begin(args[0], cmd)
	ended(ctx, s)
	return s
}

// Shell runs a command line that was printed for a person to type.
func (c *cli) Shell(ctx context.Context, input, line string) *gexec.Session {
	GinkgoHelper()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Dir, cmd.Env, cmd.Stdin = c.home, c.env, strings.NewReader(input)
	s := begin("sh", cmd)
	ended(ctx, s)
	return s
}

// AddUser adds users of testserver, and writes a password file NAME.pw for each.
func (c *cli) AddUser(ctx context.Context, state string, names ...string) {
	GinkgoHelper()
	c.writePasswords(names...)
	for _, name := range names {
		s := c.Run(ctx, testserver.Password(name)+"\n", "user", "add", name, "--password-stdin", "--state", state, "--iterations", "4096")
		Expect(s).To(gexec.Exit(0))
	}
}

func (c *cli) writePasswords(names ...string) {
	GinkgoHelper()
	for _, name := range names {
		c.Write(name+".pw", testserver.Password(name)+"\n")
	}
}

// service is a running server on a state directory.
type service struct {
	*gexec.Session
	cli         *cli
	state, addr string
}

var listening = regexp.MustCompile(`(?m)^listening on (\S+:\d+)\nnext, in another terminal: (.+)\n`)

// usersFile is the users file with alice and bob. It is made once, because a run of the command costs more than
// the rest of many specs.
var usersFile string

// Serve starts a server with alice and bob as its users.
func (c *cli) Serve(ctx context.Context, args ...string) *service {
	GinkgoHelper()
	if usersFile == "" {
		c.AddUser(ctx, c.Path("state"), "alice", "bob")
		usersFile = c.Read("state/users")
	} else {
		Expect(os.Mkdir(c.Path("state"), 0o700)).To(Succeed())
		c.Write("state/users", usersFile)
		c.writePasswords("alice", "bob")
	}
	return c.ServeOn(ctx, c.Path("state"), args...)
}

// ServeOn starts a server on an existing state directory, or on a new one.
func (c *cli) ServeOn(ctx context.Context, state string, args ...string) *service {
	GinkgoHelper()
	s := c.Start(append([]string{"serve", "--listen", "127.0.0.1:0", "--state", state}, args...)...)
	return &service{Session: s, cli: c, state: state, addr: awaitListening(ctx, s)[1]}
}

// ServeChat starts a server with --chat on a state directory, and returns the operator's input as well.
func (c *cli) ServeChat(ctx context.Context, state string, args ...string) (s *service, operator *os.File) {
	GinkgoHelper()
	session, operator := c.Piped(append([]string{"serve", "--listen", "127.0.0.1:0", "--state", state, "--chat"}, args...)...)
	return &service{Session: session, cli: c, state: state, addr: awaitListening(ctx, session)[1]}, operator
}

// awaitListening waits until a server listens, and returns the match of listening.
func awaitListening(ctx context.Context, s *gexec.Session) []string {
	GinkgoHelper()
	text := func() string { return stderr(s) } // what comes before is left for says
	Eventually(ctx, text).Should(MatchRegexp(listening.String()))
	return listening.FindStringSubmatch(text())
}

// Log returns the path of the interaction log.
func (s *service) Log() string { return filepath.Join(s.state, "audit.jsonl") }

// LogText returns the interaction log.
func (s *service) LogText() string {
	GinkgoHelper()
	text, err := os.ReadFile(s.Log())
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// Stop asks the server to end and returns the head that it prints.
func (s *service) Stop(ctx context.Context) string {
	GinkgoHelper()
	exits(ctx, s.Terminate(), 0)
	m := regexp.MustCompile(`(?m)^log head ([0-9a-f]{64})$`).FindStringSubmatch(stderr(s.Session))
	Expect(m).NotTo(BeNil())
	return m[1]
}

// As returns the arguments of a client's command for a user of this server.
func (s *service) As(command, user string, args ...string) []string {
	return append([]string{
		command, "--addr", s.addr, "--state", s.state, "--user", user, "--password-file", s.cli.Path(user + ".pw"),
	}, args...)
}

// Connect runs connect to its end.
func (s *service) Connect(ctx context.Context, user string, args ...string) *gexec.Session {
	GinkgoHelper()
	return s.cli.Run(ctx, "", s.As("connect", user, args...)...)
}

// Seated starts a client that has the seat and takes requests from a pipe.
func (s *service) Seated(ctx context.Context, user string) (*gexec.Session, *os.File) {
	GinkgoHelper()
	session, in := s.cli.Piped(s.As("connect", user)...)
	say(in, "WHOAMI\n")
	says(ctx, session, "^"+user+"\n")
	return session, in
}

// Waiting starts connect with these arguments, and returns when it waits for the seat.
func (s *service) Waiting(ctx context.Context, user, holder string, args ...string) *gexec.Session {
	GinkgoHelper()
	session := s.cli.Start(s.As("connect", user, args...)...)
	says(ctx, session.Err, "^waiting: position 1 holder "+holder+"\n")
	Expect(stdout(session)).To(BeEmpty())
	return session
}

// ended waits for a command's end. It avoids Eventually(ctx, s), which takes the session for a duration.
func ended(ctx context.Context, s *gexec.Session) {
	GinkgoHelper()
	Eventually(s).WithContext(ctx).Should(gexec.Exit())
}

// exits waits for a command's end with this exit code.
func exits(ctx context.Context, s *gexec.Session, code int, why ...any) {
	GinkgoHelper()
	Eventually(s).WithContext(ctx).Should(gexec.Exit(code), why...)
}

// says waits until out, a command or a buffer, has text that matches the pattern.
func says(ctx context.Context, out any, pattern string, why ...any) {
	GinkgoHelper()
	Eventually(out).WithContext(ctx).Should(gbytes.Say(pattern), why...)
}

func say(w io.Writer, text string) {
	GinkgoHelper()
	_, err := io.WriteString(w, text)
	Expect(err).NotTo(HaveOccurred())
}

// unusedAddr is an address on which no program listens. Its port is privileged, so no spec gets it as a free port.
const unusedAddr = "127.0.0.1:1"

// listener calls serve with each connection and closes it, until the spec ends.
func listener(network, address string, serve func(net.Conn)) string {
	GinkgoHelper()
	l, err := net.Listen(network, address)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(l.Close)
	go func() {
		defer GinkgoRecover()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serve(conn)
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}
