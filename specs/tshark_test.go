package specs

import (
	"context"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

var _ = Describe("Wireshark", Label("area:privacy", "promise:3", "peer:tshark"), func() {
	var (
		tshark string
		h      *harness.H
		sent   *conversation
	)
	BeforeEach(func(ctx SpecContext) {
		tshark = harness.Tool("tshark")
		h = start(nil)
		sent = converse(ctx, h.Connect(ctx), "alice")
	}, limitOfNode)

	It("sees only TLS in a capture", func(ctx SpecContext) {
		shown := dissect(ctx, tshark, capture(h.Eve, nil))
		Expect(protocols(shown)).To(HaveEach(MatchRegexp("^raw:ip:tcp(:tls)*$")))
		Expect(shown).To(MatchRegexp(`Handshake Protocol: Client Hello`), "control: it understands what is in the clear")
		Expect(shown).To(MatchRegexp(`Application Data Protocol`))
		Expect(sent.found(func(secret string) bool { return strings.Contains(shown, strings.TrimSpace(secret)) })).To(BeEmpty())
		for _, trouble := range []string{"Malformed", "Expert Info (Warning", "Expert Info (Error", "incorrect, should be"} {
			Expect(shown).NotTo(ContainSubstring(trouble), "the capture is sound")
		}
	}, limit)

	It("reads all of it with the session's keys", Label("control"), func(ctx SpecContext) {
		shown := dissect(ctx, tshark, capture(h.Eve, h.KeyLog.Bytes()))
		Expect(protocols(shown)).To(ContainElement("raw:ip:tcp:tls:data"))
		hidden := slices.DeleteFunc(sent.secrets(), func(s string) bool { return s == testserver.Password(sent.name) }) // SCRAM doesn't send it
		for _, secret := range hidden {
			Expect(shown).To(ContainSubstring(strings.TrimSpace(secret)))
		}
	}, limit)
})

// dissect returns what tshark prints of a capture: each field and byte of each packet, and what it can decrypt of
// the first TLS connection. It has no other preferences.
func dissect(ctx context.Context, tshark string, capture []byte) string {
	GinkgoHelper()
	c := newCLI()
	cmd := exec.CommandContext(ctx, tshark, "-n", "-r", c.Write("capture.pcapng", string(capture)), "-V", "-x",
		"-z", "follow,tls,ascii,0", "-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE")
	cmd.Env = append(c.env, "WIRESHARK_CONFIG_DIR="+c.home)
	shown, err := cmd.Output()
	Expect(err).NotTo(HaveOccurred())
	return string(shown)
}

// protocols returns the protocol stacks of the packets.
func protocols(shown string) (all []string) {
	for _, m := range regexp.MustCompile(`(?m)^ *\[Protocols in frame: (.*)\]$`).FindAllStringSubmatch(shown, -1) {
		all = append(all, m[1])
	}
	slices.Sort(all)
	return slices.Compact(all)
}
