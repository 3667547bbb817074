package specs

import (
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"github.com/sallyport/sallyport/client/pin"
	"github.com/sallyport/sallyport/server/certs"
)

var _ = Describe("The command with a file of hosts", Label("area:command", "area:hosts"), func() {
	c := withCLI()
	s := c.withServer()
	me := &cli{} // c with the file of hosts

	BeforeEach(func() {
		ca, err := certs.Read(filepath.Join(s.state, certs.CAFile))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.MkdirAll(c.Path("config/sallyport"), 0o700)).To(Succeed())
		c.Write("config/sallyport/hosts", "[rig1]\naddr = "+s.addr+"\npin = "+pin.Of(ca).String()+
			"\nuser = alice\npassword-file = ~/alice.pw\n\n[rig2]\nca = ../rig2.pem\n")
		*me = *c.With("XDG_CONFIG_HOME="+c.Path("config"), "XDG_CACHE_HOME="+c.Path("cache"))
	})

	It("reaches a server by its name", func(ctx SpecContext) {
		Expect(me.Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(printed("alice\n"))
		Expect(me.Run(ctx, "", "connect", "rig1:", "--raw", "ECHO", "rig2:")).To(printed("rig2:\n"))
		Expect(me.Run(ctx, "", "connect", "--host", "rig1", "WHOAMI")).To(printed("alice\n"))
		Expect(me.With("SALLYPORT_HOST=rig1").Run(ctx, "", "connect", "WHOAMI")).To(printed("alice\n"))
		Expect(me.Run(ctx, "", "hold", "rig1:", "--", "echo", "held")).To(printed("held\n"))
		Expect(me.Run(ctx, "", "status", "rig1:")).To(gexec.Exit(0))
		Expect(me.Run(ctx, "", "forward", "rig1:", "--listen", "0", "--keep")).To(did(1, "", ContainSubstring("this server has no --backend")))
	}, limit)

	It("lets flags win over the environment, and the environment over the file", func(ctx SpecContext) {
		Expect(me.Run(ctx, "", "connect", "rig1:", "--user", "bob", "--password-file", "bob.pw", "WHOAMI")).To(printed("bob\n"))
		bob := me.With("SALLYPORT_USER=bob", "SALLYPORT_PASSWORD_FILE=bob.pw")
		Expect(bob.Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(printed("bob\n"))
		Expect(bob.Run(ctx, "", "connect", "rig1:", "--user", "alice", "--password-file", "alice.pw", "WHOAMI")).To(printed("alice\n"))
		Expect(me.Run(ctx, "", "connect", "rig1:", "--ca", filepath.Join(s.state, certs.CAFile), "WHOAMI")).To(printed("alice\n"))
		Expect(me.With("SALLYPORT_CA=nosuch").Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(failed(1, "nosuch: no such file"))
	}, limit)

	It("lists the hosts", func(ctx SpecContext) {
		Expect(me.Run(ctx, "", "hosts")).To(did(0, MatchRegexp(
			`^rig1  127\.0\.0\.1:\d+ +alice  pin SHA256:\S{43}\nrig2  rig2 +-      ca \S+/config/rig2\.pem\n$`), ""))
		Expect(c.Run(ctx, "", "hosts")).To(did(0, "", MatchRegexp(`^no hosts in \S+/\.config/sallyport/hosts; write one, as in:\n\n\[rig1\]\n`)))
		Expect(stdout(me.Run(ctx, "", "__complete", "connect", "--host", ""))).To(MatchRegexp(`(?m)^rig1\t127`))
	}, limit)

	It("names what is wrong, and connects to nothing", func(ctx SpecContext) {
		Expect(me.Run(ctx, "", "connect", "rig3:", "WHOAMI")).To(failed(2, `there is no host "rig3" in \S+/hosts; there are: rig1 rig2`))
		Expect(c.Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(failed(2, `no hosts in \S+/hosts, and so no "rig1": sallyport hosts shows how to write one`))
		good := c.Read("config/sallyport/hosts")
		c.Write("config/sallyport/hosts", good+"port = 7\n")
		Expect(me.Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(failed(2, `hosts:9: there is no key "port"; there are: addr ca pin`))
		Expect(me.Run(ctx, "", "hosts")).To(failed(1, `hosts:9: there is no key "port"`))
		c.Write("config/sallyport/hosts", good)
		Expect(os.Chmod(c.Path("config/sallyport/hosts"), 0o666)).To(Succeed())
		Expect(me.Run(ctx, "", "connect", "rig1:", "WHOAMI")).To(failed(2, `others can change the file, and so choose whom you trust \(mode 0666\): check it, then chmod 600 it`))
		Expect(s.LogText()).NotTo(ContainSubstring("conn.accept"))
	}, limit)
})
