package peers

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/server/users"
	"github.com/sallyport/sallyport/specs/harness"
)

// passwords are some that SASLprep changes, and some that it doesn't.
var passwords = []string{alice.password, "a, b=c:$'\"", accounts["a name that SASLprep changes"].password}

// startWith runs our server with a users file of one line.
func startWith(name, verifier string) *harness.H {
	GinkgoHelper()
	file := filepath.Join(GinkgoT().TempDir(), "users")
	Expect(os.WriteFile(file, []byte(name+":"+verifier+"\n"), 0o600)).To(Succeed())
	store, err := users.Open(file, hashed("secret of the mock"), func(err error) { Fail(err.Error()) })
	Expect(err).NotTo(HaveOccurred())
	return start(func(s *server.Server) { s.Users = store })
}

// letsIn checks that a verifier accepts this password and no other.
func letsIn(ctx SpecContext, verifier, password string) {
	GinkgoHelper()
	h := startWith("alice", verifier)
	attempt := func(password string) error {
		c, err := h.Dialer().Dial(ctx, h.Addr, client.Credentials{Username: "alice", Password: password})
		if err == nil {
			defer c.Close()
		}
		return err
	}
	Expect(attempt(password+"!")).To(MatchError(client.ErrLoginFailed), "the control")
	Expect(attempt(password)).To(Succeed())
	Expect(loggedIn(h)).To(Equal([]string{"alice", scram.SHA256Plus, scram.TypeExporter}))
}

// fromGsasl converts {SCRAM-SHA-256}iterations,salt,StoredKey,ServerKey to the form of RFC 5803, which Sallyport uses.
func fromGsasl(made string) string {
	GinkgoHelper()
	mechanism, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(made), "{"), "}")
	fields := strings.Split(rest, ",")
	Expect(fields).To(HaveLen(4))
	return fmt.Sprintf("%s$%s:%s$%s:%s", mechanism, fields[0], fields[1], fields[2], fields[3])
}

var _ = Describe("A verifier made by gsasl", Label("peer:gsasl", "promise:4", "rfc:5803"), func() {
	mkpasswd := func(ctx SpecContext, password string, more ...string) string {
		GinkgoHelper()
		command := []string{harness.Tool("gsasl"), "--mkpasswd", "--mechanism", scram.SHA256, "--password", password}
		return fromGsasl(output(ctx, "", append(command, more...)...))
	}
	for _, password := range passwords {
		It(fmt.Sprintf("lets in who knows %q", password), func(ctx SpecContext) {
			letsIn(ctx, mkpasswd(ctx, password), password)
		}, limit)
	}
	for title, who := range accounts {
		It("is the one made here, with "+title, func(ctx SpecContext) {
			salt := []string{"--salt", base64.StdEncoding.EncodeToString([]byte(who.salt)), "--iteration-count", fmt.Sprint(who.iterations)}
			Expect(mkpasswd(ctx, who.password, salt...)).To(Equal(who.verifier().String()))
		}, limit)
	}
})
