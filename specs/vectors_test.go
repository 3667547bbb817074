package specs

import (
	"errors"
	"fmt"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/fixtures"
	"github.com/sallyport/sallyport/protocol/scram"
)

// vectors are the SCRAM vectors.
var vectors = func() []fixtures.Vector {
	all, err := fixtures.Vectors()
	if err != nil {
		panic(err)
	}
	return all
}()

var _ = Describe("A login", Label("area:login", "rfc:5802"), func() {
	for _, v := range vectors {
		declare := func(who string, wanted bool, test func(SpecContext, *fixtures.Vector)) {
			if wanted {
				It("of "+who+" "+title(v), labelsOf(v), func(ctx SpecContext) { test(ctx, &v) }, limit)
			}
		}
		client, server := v.Judges("client"), v.Judges("server")
		carried := slices.Contains(v.Needs, "carrier")
		declare("Mallory to the server", server, testScram(false, true))
		declare("the client to Mallory", client && !carried, testScram(true, false))
		declare("the client through Mallory", !carried, testScram(true, true))
		declare("Mallory to the server, over TLS,", server, testServer)
		declare("the client to Mallory, over TLS,", client, testClient)
		// A bound login would fail because of its binding.
		declare("the client through Mallory, over TLS,", v.Login.Mechanism == scram.SHA256 && v.Login.Flag == "n" && !carried, testBoth)
	}
})

// title states how a vector ends, and what is altered.
func title(v fixtures.Vector) string {
	if v.Found.Stage == fixtures.Done {
		return fmt.Sprintf("succeeds: %s (%s)", v.About, v.Name)
	}
	return fmt.Sprintf("fails at %s as %s: %s (%s)", v.Found.Stage, v.Found.Reason, v.About, v.Name)
}

// labelsOf returns the number of the battery, the rule, and the promises that the vector checks.
func labelsOf(v fixtures.Vector) Labels {
	labels := Labels{"rule:" + v.Rule}
	if v.Battery > 0 {
		labels = append(labels, fmt.Sprint("battery:", v.Battery))
	}
	switch {
	case slices.Contains([]int{6, 7, 8, 9, 26}, v.Battery):
		labels = append(labels, "promise:3")
	case slices.Contains([]int{1, 2, 16}, v.Battery):
		labels = append(labels, "promise:4")
	}
	switch {
	case v.Found.By == "server":
		labels = append(labels, "promise:2")
	case v.Found.Stage == fixtures.Done:
		labels = append(labels, "control")
	}
	return labels
}

// play plays a vector on a connection. It skips the spec if something is missing that the vector needs.
func play(ctx SpecContext, v *fixtures.Vector, client, server fixtures.Peer, bindings map[string][]byte, also ...string) fixtures.Outcome {
	GinkgoHelper()
	outcome, err := v.Play(ctx, client, server, facilities(bindings, also...))
	skipUnless(err)
	return outcome
}

func facilities(bindings map[string][]byte, also ...string) fixtures.Facilities {
	return fixtures.Facilities{Bindings: bindings, Has: append([]string{"plus", "no-plus", "saslprep"}, also...)}
}

func skipUnless(err error) {
	GinkgoHelper()
	if missing, ok := errors.AsType[fixtures.Skipped](err); ok {
		Skip(missing.Error())
	}
	Expect(err).NotTo(HaveOccurred())
}
