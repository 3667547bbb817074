package specs

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/scenarios/testserver"
)

var _ = Describe("The command's exit code", Label("area:command", "command:exit"), func() {
	c := withCLI()

	DescribeTable("is 2 for wrong usage, before anything is made", func(ctx SpecContext, pattern string, args ...string) {
		Expect(c.Run(ctx, "", args...)).To(failed(2, pattern))
		Expect(os.ReadDir(c.home)).To(BeEmpty())
	},
		Entry("an unknown flag", "unknown flag: --nosuch", "connect", "--nosuch", limit),
		Entry("a flag without its value", "flag needs an argument: --user", "connect", "--user", limit),
		Entry("a bad --admission", `--admission is queue, reject or takeover, not "first"`, "serve", "--admission", "first", limit),
		Entry("a bad --queue-depth", "--queue-depth and --queue-per-user are at least 1", "serve", "--queue-depth", "0", limit),
		Entry("a bad duration", `--queue-wait: "soon" is not a time such as 500ms, 90s or 1h30m`, "serve", "--queue-wait", "soon", limit),
		Entry("a bad size", `"1MB" is not a size`, "serve", "--max-body", "1MB", limit),
		Entry("a bad --log-sync", `"always" is not one of none, session, record`, "serve", "--log-sync", "always", limit),
		Entry("a bad --tls-min", `--tls-min is 1.2 or 1.3, not "1.1"`, "connect", "--tls-min", "1.1", limit),
		Entry("a bad --tls-min of serve", `--tls-min is 1.2 or 1.3, not "1.1"`, "serve", "--tls-min", "1.1", limit),
		Entry("client certificates in the clear", "--client-ca goes with TLS 1.3: TLS 1.2 would send the certificate, with the user's name, in the clear; leave out --tls-min",
			"serve", "--client-ca", "ca.pem", "--tls-min", "1.2", limit),
		Entry("evict of a user without a name", "--user is empty; leave it out to evict the holder", "evict", "--user", "", limit),
		Entry("evict of a connection without an id", "--conn is empty; leave it out to evict the holder", "evict", "--conn=", limit),
		Entry("a bad --backend", `--backend is tcp:HOST:PORT, unix:PATH, .* or pty:COMMAND, not "serial"`, "serve", "--backend", "serial", limit),
		Entry("a bad line", `as in serial:/dev/ttyUSB0,115200,8N1: the speed "fast" is no number`, "serve", "--backend", "serial:/dev/null,fast,8N1", limit),
		Entry("a bad --backend-timeout", "--backend-timeout is longer than 0", "serve", "--backend-timeout", "0s", limit),
		Entry("--backend-user of a service", "leave it out", "serve", "--backend-user", "nobody", "--backend", "tcp:127.0.0.1:1", limit),
		Entry("--backend-user of nothing", "goes with --backend exec:COMMAND", "serve", "--backend-user", "nobody", limit),
		Entry("an unknown --backend-user", `there is no user "no-such"`, "serve", "--backend-user", "no-such", "--backend", "exec:true", limit),
		Entry("--cert without --key", "--cert and --key go together", "serve", "--cert", "cert.pem", limit),
		Entry("an argument of serve", `it takes no argument "now"`, "serve", "now", limit),
		Entry("--open with a verb", "--open takes no verb", "connect", "--open", "ECHO", limit),
		Entry("--body without a verb", "--body needs a verb", "connect", "--body", "-", limit),
		Entry("both body and password on standard input", "can't share standard input", "connect", "--body", "-", "--password-stdin", "ECHO", limit),
		Entry("two passwords", "exclude each other", "connect", "--password-file", "x", "--password-stdin", limit),
		Entry("hold without a command", `an argument is missing: sallyport hold .* COMMAND`, "hold", limit),
		Entry("user without a command", "say what to do: add, list, passwd, remove", "user", limit),
		Entry("user add without a name", "an argument is missing: sallyport user add NAME", "user", "add", limit),
		Entry("user add with two names", `it takes no argument "bob"`, "user", "add", "alice", "bob", limit),
		Entry("an unknown command of user", `there is no command "frob"; there are: add, list, passwd, remove`, "user", "frob", limit),
		Entry("help of no command", `there is no command "frob"`, "help", "frob", limit),
		Entry("a number that is none", `--queue-depth: "many" is not a whole number`, "serve", "--queue-depth", "many", limit),
		Entry("a truth that is none", `--chat: "perhaps" is not true or false`, "serve", "--chat=perhaps", limit),
		Entry("log without a command", "say what to do: sessions, show, verify", "log", limit),
		Entry("log show since never", `--since: "never" is no time`, "log", "show", "--since", "never", "x", limit),
		Entry("an invalid verb", `"no_such" is not a verb: letters, digits and -`, "connect", "no_such", limit),
		Entry("OPEN as a verb", "use --open", "connect", "open", limit),
		Entry("BODY as a verb", "use --body FILE", "connect", "BODY", "3", limit),
		Entry("a log that could not take a body", "--log-payload goes with a --max-body of at most 8MiB", "serve", "--log-payload", "--max-body", "9MiB", limit),
		Entry("an address without a port", "--listen is HOST:PORT", "serve", "--listen", "foo", limit),
		Entry("an invalid port", "--listen is HOST:PORT", "serve", "--listen", "127.0.0.1:99999", limit),
		Entry("a negative --idle-timeout", "not negative", "serve", "--idle-timeout", "-1s", limit),
		Entry("a negative --queue-wait", "not negative", "serve", "--queue-wait", "-1s", limit),
		Entry("a negative --session-limit", "not negative", "serve", "--session-limit", "-1s", limit),
		Entry("a negative --request-timeout", "not negative", "serve", "--request-timeout", "-1s", limit),
		Entry("a negative --shutdown-grace", "not negative", "serve", "--shutdown-grace", "-1s", limit),
		Entry("an invalid port of a server", `--addr is HOST or HOST:PORT, .*, not "127.0.0.1:99999"`, "connect", "--addr", "127.0.0.1:99999", limit),
		Entry("two ports of a server", "--addr is HOST or HOST:PORT", "hold", "--addr", "rig1:1:2", "--", "true", limit),
		Entry("no port of a server", `not "rig1:"`, "forward", "--listen", "0", "--addr", "rig1:", limit),
		Entry("no port of a server, in status", `not "rig1:"`, "status", "--addr", "rig1:", limit),
		Entry("no port of a server, in replay", `not "rig1:"`, "replay", "--addr", "rig1:", "--users", "x", limit),
		Entry("cert new for no name", `--host: "bad name": neither a DNS name nor an IP address`, "cert", "new", "--host", "bad name", limit),
		Entry("log show of an unknown event", `--event: there is no event "session"; there are: .*, session.open, `, "log", "show", "--event", "session", "x", limit),
		Entry("cert new without a host", "say with --host", "cert", "new", limit),
		Entry("cert new for server and client", "make one after the other", "cert", "new", "--host", "rig", "--client", "alice", limit),
		Entry("--cert of a client without --key", "--cert and --key go together", "connect", "--cert", "cert.pem", limit),
	)

	It("is 2 for an unknown command", func(ctx SpecContext) {
		run := c.Run(ctx, "", "conect")
		Expect(run).To(gexec.Exit(2))
		Expect(stderr(run)).To(MatchRegexp(`(?s)^sallyport: unknown command "conect".*connect.*see sallyport --help\n$`))
	}, limit)

	It("is 2 for a bad value in the environment, which is named", func(ctx SpecContext) {
		Expect(c.With("SALLYPORT_QUEUE_DEPTH=many").Run(ctx, "", "serve")).To(failed(2, `SALLYPORT_QUEUE_DEPTH in the environment: .*"many"`))
		Expect(c.With("SALLYPORT_NO_WAIT=perhaps").Run(ctx, "", "connect")).To(failed(2, "SALLYPORT_NO_WAIT in the environment"))
		Expect(c.With("SALLYPORT_ADMISSION=first").Run(ctx, "", "serve")).To(failed(2, "--admission is queue"))
	}, limit)

	It("is 1 for other failures, whose message names the file", func(ctx SpecContext) {
		c.Write("users", "no log\n")
		Expect(c.Run(ctx, "", "log", "show", "users")).To(failed(1, `\./users: `), "users is a package, too")
		Expect(c.Run(ctx, "", "replay", "--init", ".")).To(failed(1, `\.: the directory is not empty`))
		Expect(os.Remove(c.Path("users"))).To(Succeed())
		Expect(c.Run(ctx, "", "log", "show", "nosuch")).To(failed(1, "nosuch: no such file"))
		Expect(c.Run(ctx, "", "connect", "--password-file", "nosuch")).To(failed(1, "nosuch: no such file"))
		Expect(c.Run(ctx, "", "connect", "--body", "nosuch", "ECHO")).To(failed(1, "nosuch: no such file"))
		Expect(c.Run(ctx, "", "connect", "--state", "nosuch")).To(failed(1, "no CA in the state directory: .*nosuch.*: name the CA with --pin or --ca"))
		Expect(c.Run(ctx, "", "connect", "--ca", "nosuch")).To(failed(1, "nosuch: no such file"))
		Expect(c.Run(ctx, "", "user", "remove", "carol", "--state", "state")).To(failed(1, `"carol": no such user`))
		c.AddUser(ctx, "state", "alice")
		Expect(c.Run(ctx, "pw\n", "user", "add", "alice", "--password-stdin", "--state", "state")).To(failed(1, `"alice": the user exists already; change it with: .* user passwd alice --state state`))
		Expect(c.Run(ctx, "pw\n", "user", "add", "bob", "--password-stdin", "--state", "state", "--iterations", "10")).To(failed(2, "--iterations is 4096 to 1000000, not 10"))
		Expect(c.Run(ctx, "pw\n", "user", "add", "b\u0007b", "--password-stdin", "--state", "state")).To(failed(1, ""))
		// These errors come before the question for a password, which needs a terminal.
		Expect(c.Run(ctx, "", "user", "add", "alice", "--state", "state")).To(failed(1, `"alice": the user exists already`))
		Expect(c.Run(ctx, "", "user", "passwd", "carol", "--state", "state")).To(failed(1, `"carol": no such user; add it with: .* user add carol --state state`))
		Expect(c.Run(ctx, "", "user", "passwd", "alice", "--state", "state")).To(failed(1, "no terminal"), "control")
		Expect(c.Run(ctx, "", "user", "list", "--state", "state")).To(printed("alice  4096 iterations\n"))
	}, limit)

	When("there is no server to talk to", func() {
		connect := func(ctx SpecContext, addr string, args ...string) *gexec.Session {
			c.Write("pw", "a password\n")
			return c.Run(ctx, "", append([]string{"connect", "--addr", addr, "--user", "alice", "--password-file", "pw", "ECHO"}, args...)...)
		}

		It("is 3 if no server listens", func(ctx SpecContext) {
			addr := unusedAddr
			Expect(connect(ctx, addr)).To(failed(3, addr+": .*refused: is a server running there\\?"))
			Expect(c.Run(ctx, "", "hold", "--addr", addr, "--user", "alice", "--password-file", "pw", "--", "touch", "ran")).To(failed(3, "refused"))
			Expect(c.Path("ran")).NotTo(BeAnExistingFile())
		}, limit)

		DescribeTable("is 3 if another program listens, whose bytes are not shown", Label("battery:28"),
			func(ctx SpecContext, answer func(net.Conn)) {
				answered := make(chan bool, 8)
				addr := listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
					answer(conn)
					answered <- true
				})
				run := connect(ctx, addr, "secret")
				Expect(run).To(failed(3, "the server does not speak TLS"))
				Expect(stderr(run)).NotTo(ContainSubstring("hunter2"))
				Eventually(ctx, answered).Should(Receive(), "control: it had a connection")
			},
			Entry("a banner", func(conn net.Conn) { say(conn, "220 hunter2 \x1b[2J ready\r\n") }, limit),
			Entry("a prompt, shorter than the header of a TLS record", func(conn net.Conn) {
				say(conn, "> ")
				_, _ = io.Copy(io.Discard, conn)
			}, limit),
			Entry("HTTP", func(conn net.Conn) {
				_, _ = conn.Read(make([]byte, 4096))
				say(conn, "HTTP/1.1 400 hunter2\r\nContent-Length: 0\r\n\r\n")
			}, limit),
		)

		It("is 3 if the server echoes all input, or closes at once as over its limits", func(ctx SpecContext) {
			Expect(connect(ctx, listener("tcp", "127.0.0.1:0", func(conn net.Conn) {
				hello := make([]byte, 4096)
				n, _ := conn.Read(hello)
				_, _ = conn.Write(hello[:n])
			}))).To(failed(3, "no connection to "))
			Expect(connect(ctx, listener("tcp", "127.0.0.1:0", func(net.Conn) {}))).To(
				failed(3, "no connection to .*: it closed the connection during the handshake: .* too many from your address"))
		}, limit)
	})

	When("there is a server", func() {
		s := c.withServer()

		It("is 3 if its CA is not known", Label("battery:28"), func(ctx SpecContext) {
			s.state = c.Path("other")
			Expect(c.Run(ctx, "", "user", "list", "--state", s.state)).To(gexec.Exit(0))
			Expect(s.Connect(ctx, "alice", "ECHO")).To(failed(3, "unknown authority: the certificate is from neither .*/other/ca.pem nor a CA of this system; or another server answers there: give the server's ca.pem with --ca"))
			stranger := []string{"connect", "--addr", s.addr, "--user", "alice", "--password-file", "alice.pw", "ECHO"}
			Expect(c.Run(ctx, "", stranger...)).To(failed(3, "unknown authority: the certificate is not from a CA of this system; or another server answers there: give the server's ca.pem with --ca"))
		}, limit)

		It("is 3 if it has another name", Label("battery:28"), func(ctx SpecContext) {
			Expect(s.Connect(ctx, "alice", "--server-name", "rig.example", "ECHO")).To(
				failed(3, "rig.example.*: on the server: sallyport cert new --host rig.example, then SIGHUP"))
			Expect(s.Connect(ctx, "alice", "--server-name", "localhost", "WHOAMI")).To(printed("alice\n"), "control")
		}, limit)

		It("is 4 for a wrong password and for an unknown user, in the same words", func(ctx SpecContext) {
			c.Write("alice.pw", "a wrong one\n")
			c.Write("carol.pw", "a wrong one\n")
			wrong, unknown := s.Connect(ctx, "alice", "ECHO"), s.Connect(ctx, "carol", "ECHO")
			Expect(wrong).To(failed(4, `login failed: 535 login-failed authentication failed: is the name "alice" right, and the password\?`))
			Expect(strings.ReplaceAll(stderr(unknown), "carol", "alice")).To(Equal(stderr(wrong)))
			Expect(unknown).To(gexec.Exit(4))
		}, limit)

		It("is 4 if the server can't prove that it knows the password", func(ctx SpecContext) {
			// Verifiers with a wrong ServerKey, as if half of each were stolen.
			users := c.Read("state/users")
			Expect(os.WriteFile(filepath.Join(s.state, "users"), []byte(otherServerKey(users)), 0o600)).To(Succeed())
			Expect(s.Connect(ctx, "alice", "ECHO", "hello")).To(failed(4, "server"))
			Expect(s.LogText()).NotTo(ContainSubstring(`"verb":"ECHO"`))
		}, limit)

		It("is 6 for a request that is refused", func(ctx SpecContext) {
			Expect(s.Connect(ctx, "alice", "NOSUCH")).To(failed(6, "500 unknown-command "))
			Expect(s.Connect(ctx, "alice", "SAY", "anybody there?")).To(failed(6, "550 refused no operator is listening"))
			Expect(s.Connect(ctx, "alice", "SAY")).To(failed(6, "501 argument "))
			Expect(s.Connect(ctx, "alice", "--open")).To(failed(6, "500 unknown-command .*: this server has no --backend"))
		}, limit)

		It("is 1 for a request that can't be sent", func(ctx SpecContext) {
			Expect(s.Connect(ctx, "alice", "ECHO", "two\nlines")).To(failed(1, ""))
			Expect(s.Connect(ctx, "alice", "ECHO", strings.Repeat("x", 9000))).To(failed(1, ""))
		}, limit)

		It("is 5 if the seat is taken and the client does not wait", func(ctx SpecContext) {
			s.Seated(ctx, "alice")
			Expect(s.Connect(ctx, "bob", "--no-wait", "ECHO")).To(failed(5, "the seat is taken: 421 busy alice has had the seat since [0-9T:+Z-]+, waiting: 0"))
			Expect(c.Run(ctx, "", s.As("hold", "bob", "--no-wait", "--", "touch", "ran")...)).To(failed(5, "the seat is taken: 421 busy alice has had the seat since [0-9T:+Z-]+, waiting: 0"))
			Expect(c.Path("ran")).NotTo(BeAnExistingFile())
		}, limit)
	})

	DescribeTable("is 1 if the server ends the session for another reason",
		func(ctx SpecContext, keyword string, flags ...string) {
			s := c.Serve(ctx, flags...)
			alice, _ := c.Piped(s.As("connect", "alice")...)
			exits(ctx, alice, 1)
			Expect(alice).To(failed(1, "421 "+keyword+" "))
		},
		Entry("it was idle", "idle", "--idle-timeout", "50ms", limit),
		Entry("its time is over", "session-limit", "--session-limit", "50ms", limit),
	)

	It("is 5 if the wait takes too long", func(ctx SpecContext) {
		s := c.Serve(ctx, "--queue-wait", "50ms")
		alice, in := s.Seated(ctx, "alice")
		run := s.Connect(ctx, "bob", "ECHO")
		Expect(run).To(gexec.Exit(5))
		Expect(stderr(run)).To(MatchRegexp(`^waiting: position 1 holder alice\nsallyport connect: [^\n]*421 wait-timeout [^\n]*\n$`))
		say(in, "WHOAMI\n")
		says(ctx, alice, "alice\n", "alice keeps the seat")
	}, limit)
})

var _ = Describe("The command's passwords", Label("area:command", "promise:5"), func() {
	It("are in no process, no log and no message", func(ctx SpecContext) {
		const wrong = "not her password"
		c := newCLI()
		s := c.Serve(ctx)
		c.Write("wrong", wrong+"\n")
		s.Seated(ctx, "alice")
		bob := s.Waiting(ctx, "bob", "alice", "ECHO")
		failure := s.Connect(ctx, "alice", "--password-file", "wrong", "ECHO")
		Expect(failure).To(gexec.Exit(4))

		process := filepath.Join("/proc", strconv.Itoa(bob.Command.Process.Pid))
		if _, err := os.Stat(process); err != nil {
			Skip("no /proc here to look at processes")
		}
		seen := stderr(s.Session) + stderr(bob) + stderr(failure) + s.LogText()
		for _, file := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(filepath.Join(process, file))
			Expect(err).NotTo(HaveOccurred())
			seen += string(text)
		}
		Expect(seen).To(ContainSubstring("bob.pw\x00"), "control: these are the arguments")
		Expect(seen).To(ContainSubstring("HOME="+c.home), "control: this is the environment")
		Expect(seen).To(ContainSubstring(`"reason":"wrong-proof"`), "control: this is the log")
		for _, secret := range []string{testserver.Password("alice"), testserver.Password("bob"), wrong} {
			Expect(seen).NotTo(ContainSubstring(secret))
		}
	}, limit)
})

// otherServerKey replaces the ServerKey of every verifier with its StoredKey.
func otherServerKey(users string) string {
	return regexp.MustCompile(`(?m)\$([^$:]+):[^:\n]+$`).ReplaceAllString(users, "$$$1:$1")
}
