package specs

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// The log of each server that a spec starts is checked when the server has ended. These are the controls of that check.
var _ = Describe("The check of every log", Label("area:log", "promise:5", "control"), func() {
	// planted returns a log with one record, which has these fields and values.
	planted := func(event string, fields ...string) string {
		kept := &testserver.Log{}
		log := audit.New(kept, audit.Options{})
		record := log.Info(event, "ABCDEF-1")
		if event == "login.fail" || event == "tls.fail" {
			record = log.Warn(event, "ABCDEF-1")
		}
		for pair := range slices.Chunk(fields, 2) {
			record.Str(pair[0], pair[1])
		}
		record.Send()
		Expect(log.Flush()).To(Succeed())
		return kept.String()
	}
	wrongProof := func(user string) string {
		return planted("login.fail", "user", user, "mechanism", scram.SHA256, "reason", "wrong-proof")
	}

	It("finds a password, in any case and form", func(SpecContext) {
		password := testserver.Password("alice")
		for _, value := range []string{
			password, "x" + strings.ToUpper(password) + "x", hex.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte(password)),
		} {
			Expect(harness.CheckLog(wrongProof(value), harness.Payload{})).To(MatchError(harness.ErrSecret), "%q", value)
		}
		Expect(harness.CheckLog(wrongProof("alice"), harness.Payload{})).To(Succeed())
		Expect(harness.CheckLog(wrongProof("hunter2"), harness.Payload{}, "hunter2")).To(MatchError(harness.ErrSecret))
	}, limit)

	It("finds keys, proofs and exporter values", func(ctx SpecContext) {
		h := start(nil)
		w := h.Connect(ctx).Greeted()
		state := w.ConnectionState()
		binding, err := scram.TLSExporter(state.ExportKeyingMaterial)
		Expect(err).NotTo(HaveOccurred())
		_, line := w.Challenged("alice")
		final, err := base64.StdEncoding.DecodeString(line)
		Expect(err).NotTo(HaveOccurred())
		_, proof, _ := strings.Cut(string(final), ",p=")
		verifier, _, _ := h.Users.Lookup("alice")
		values := []string{proof, string(final), verifier.String()}
		for _, secret := range [][]byte{binding.Data, verifier.StoredKey, verifier.ServerKey} {
			values = append(values, hex.EncodeToString(secret), strings.ToUpper(hex.EncodeToString(secret)), base64.StdEncoding.EncodeToString(secret))
		}
		for line := range strings.Lines(string(h.KeyLog.Bytes())) {
			values = append(values, strings.Fields(line)[2])
		}
		Expect(len(values)).To(BeNumerically(">=", 12+4), "with the secrets of TLS")
		for _, value := range values {
			Expect(harness.CheckLog(planted("tls.fail", "error", "bad: "+value), harness.Payload{})).To(MatchError(harness.ErrSecret), "%q", value)
		}
	}, limit)

	It("allows what the operator asked for, in these fields alone", func(SpecContext) {
		password := testserver.Password("alice")
		asked := harness.Payload{Sent: true, Names: true}
		Expect(harness.CheckLog(wrongProof(password), asked)).To(Succeed())
		Expect(harness.CheckLog(planted("login.ok", "user", password, "mechanism", scram.SHA256, "binding", ""), asked)).To(MatchError(harness.ErrSecret))
		Expect(harness.CheckLog(planted("stream.data", "direction", "in", "data", base64.StdEncoding.EncodeToString([]byte(password))), asked)).To(Succeed())
		Expect(harness.CheckLog(planted("stream.data", "direction", password, "data", ""), asked)).To(MatchError(harness.ErrSecret))
	}, limit)

	It("finds the name of an unknown user", func(SpecContext) {
		unknown := func(name string) string {
			return planted("login.fail", "user", name, "mechanism", scram.SHA256, "reason", "unknown-user")
		}
		Expect(harness.CheckLog(unknown("#0123456789ab"), harness.Payload{})).To(Succeed())
		Expect(harness.CheckLog(unknown("smith"), harness.Payload{Names: true})).To(Succeed())
		Expect(harness.CheckLog(unknown("smith"), harness.Payload{})).To(MatchError(harness.ErrSecret))
	}, limit)

	DescribeTable("finds one thing that is wrong with a log",
		func(ctx SpecContext, pattern, replacement string) {
			h := start(nil)
			Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed())
			Expect(h.Stop()).To(Succeed())
			Expect(harness.CheckLog(rechained(h.Log.String()), harness.Payload{})).To(Succeed())
			changed := regexp.MustCompile(pattern).ReplaceAllString(h.Log.String(), replacement)
			Expect(changed).NotTo(Equal(h.Log.String()))
			Expect(harness.CheckLog(rechained(changed), harness.Payload{})).NotTo(Succeed())
		},
		Entry("an unknown event", `"conn.accept"`, `"conn.accepted"`, limit),
		Entry("an event that belongs elsewhere", `"tls.handshake"`, `"tls.fail"`, limit),
		Entry("a field too many", `"quit"`, `"quit","user":"alice"`, limit),
		Entry("a field too few", `"alpn":"sallyport/1",`, ``, limit),
		Entry("a field that occurs twice", `"reason":"quit"`, `"reason":"quit","reason":"quit"`, limit),
		Entry("fields in another order", `("reason":"quit"),("requests":1)`, `$2,$1`, limit),
		Entry("a number as text", `"requests":1`, `"requests":"1"`, limit),
		Entry("an invalid time", `"time":"2`, `"time":"x2`, limit),
		Entry("milliseconds for seconds", `"uptime":0`, `"uptime":4000`, limit),
		Entry("another level", `"level":"info","event":"login.ok"`, `"level":"warn","event":"login.ok"`, limit),
		Entry("an event that is missing", `(?m)^.*"tls.handshake".*\n`, ``, limit),
		Entry("an event after the end", `(?m)^(.*"session.close".*\n)`, `$1$1`, limit),
		Entry("two connections in one", `(?m)^(.*"conn.accept".*\n)`, `$1$1`, limit),
		Entry("a line that is no object", `(?m)^(.*"conn.accept".*\n)`, "no object\n$1", limit),
		Entry("a nested value", `"requests":1`, `"requests":[1]`, limit),
	)

	It("finds a broken chain", func(ctx SpecContext) {
		h := start(nil)
		Expect(h.LoggedIn(ctx, "alice").Quit(ctx)).To(Succeed())
		Expect(h.Stop()).To(Succeed())
		sound := h.Log.String()
		Expect(harness.CheckLog(sound, harness.Payload{})).To(Succeed())
		Expect(harness.CheckLog(strings.Replace(sound, `"quit"`, `"idle"`, 1), harness.Payload{})).NotTo(Succeed())
		Expect(harness.CheckLog(sound[:len(sound)/2], harness.Payload{})).NotTo(Succeed())
	}, limit)
})

// rechained returns a log with its chain computed again, so that nothing but the change is wrong.
func rechained(log string) string {
	var all strings.Builder
	head := strings.Repeat("0", 64)
	for line := range strings.Lines(log) {
		if body, _, ok := strings.Cut(line, `,"chain":"`); ok {
			sum := sha256.Sum256([]byte(head + body))
			head = hex.EncodeToString(sum[:])
			line = body + `,"chain":"` + head + "\"}\n"
		}
		all.WriteString(line)
	}
	return all.String()
}
