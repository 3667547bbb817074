package specs

import (
	"encoding/base64"
	"encoding/hex"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/protocol/scram"
	"github.com/sallyport/sallyport/server/audit"
	"github.com/sallyport/sallyport/specs/harness"
)

// Every server that a spec brings up, in the process or as a command, has its
// log checked when it has ended. Here is what that check is worth.
var _ = Describe("The check of every log", Label("area:log", "promise:5", "control"), func() {
	// planted is a log in which a record holds the value.
	planted := func(event, field, value string) string {
		kept := &harness.Log{}
		log := audit.New(kept, audit.Options{})
		record := log.Info(event, "ABCDEF-1")
		for name := range strings.FieldsSeq(harness.Events[event]) {
			if name == field {
				record.Str(name, value)
			} else {
				record.Str(name, "")
			}
		}
		record.Send()
		Expect(log.Flush()).To(Succeed())
		return kept.String()
	}

	It("finds a password, in any case and form", func() {
		password := harness.Password("alice")
		for _, value := range []string{
			password, "x" + strings.ToUpper(password) + "x", hex.EncodeToString([]byte(password)), base64.StdEncoding.EncodeToString([]byte(password)),
		} {
			Expect(harness.CheckLog(planted("login.fail", "user", value), harness.Payload{})).To(MatchError(harness.ErrSecret), "%q", value)
		}
		Expect(harness.CheckLog(planted("login.fail", "user", "alice"), harness.Payload{})).To(Succeed())
		Expect(harness.CheckLog(planted("login.fail", "user", "hunter2"), harness.Payload{}, "hunter2")).To(MatchError(harness.ErrSecret))
	})

	It("finds what logs in: keys, proofs and exporter values", func(ctx SpecContext) {
		h := start(nil)
		w := h.Wire(ctx, true).Greeted()
		state := w.ConnectionState()
		binding, err := scram.TLSExporter(state.ExportKeyingMaterial)
		Expect(err).NotTo(HaveOccurred())
		final, err := base64.StdEncoding.DecodeString(w.Challenged("alice"))
		Expect(err).NotTo(HaveOccurred())
		_, proof, _ := strings.Cut(string(final), ",p=")
		verifier := h.Users.Must("alice")
		values := []string{proof, string(final), verifier.String()}
		for _, octets := range [][]byte{binding.Data, verifier.StoredKey, verifier.ServerKey} {
			values = append(values, hex.EncodeToString(octets), strings.ToUpper(hex.EncodeToString(octets)), base64.StdEncoding.EncodeToString(octets))
		}
		for line := range strings.Lines(string(h.KeyLog.Bytes())) {
			values = append(values, strings.Fields(line)[2])
		}
		Expect(len(values)).To(BeNumerically(">=", 12+4), "with the secrets of TLS")
		for _, value := range values {
			Expect(harness.CheckLog(planted("tls.fail", "error", "bad: "+value), harness.Payload{})).To(MatchError(harness.ErrSecret), "%q", value)
		}
	}, limit)

	It("lets pass what the operator asked for, and there alone", func() {
		password := harness.Password("alice")
		asked := harness.Payload{Sent: true, Names: true}
		Expect(harness.CheckLog(planted("login.fail", "user", password), asked)).To(Succeed())
		Expect(harness.CheckLog(planted("login.ok", "user", password), asked)).To(MatchError(harness.ErrSecret))
		Expect(harness.CheckLog(planted("stream.data", "data", password), asked)).To(Succeed())
		Expect(harness.CheckLog(planted("stream.data", "direction", password), asked)).To(MatchError(harness.ErrSecret))
	})

	It("finds an event that is none, a field too many, an event after the end, and a broken chain", func() {
		log := func(events ...string) string {
			kept := &harness.Log{}
			log := audit.New(kept, audit.Options{})
			for _, event := range events {
				log.Info(event, "ABCDEF-1").Str("reason", "quit").Send()
			}
			Expect(log.Flush()).To(Succeed())
			return kept.String()
		}
		sound := log("conn.close")
		Expect(harness.CheckLog(sound, harness.Payload{})).To(Succeed())
		for _, bad := range []string{
			log("conn.closed"), log("tls.fail"), log("conn.close", "conn.close"), strings.Replace(sound, "quit", "idle", 1),
			strings.Replace(sound, `"reason":"quit"`, `"reason":"quit","reason":"quit"`, 1), "no object\n", sound[:len(sound)/2],
		} {
			Expect(harness.CheckLog(bad, harness.Payload{})).NotTo(Succeed(), bad)
		}
	})
})
