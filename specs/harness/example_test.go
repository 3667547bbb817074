package harness_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// A spec says what it needs, here a client that has the seat and one that waits
// for it. When it is over the server is stopped, and its log is checked.
func Example() {
	Describe("The queue", Label("area:admission"), func() {
		It("seats the second client when the first one leaves", func(ctx SpecContext) {
			h := harness.Serve(nil)
			alice, bob := h.LoggedIn(ctx, "alice"), h.Queued(ctx, "bob")
			Expect(alice.Quit(ctx)).To(Succeed())
			Eventually(ctx, bob.Done).Should(BeClosed())
			Expect(bob.Err).NotTo(HaveOccurred())
			Expect(h.Log.Events("")).To(ContainElement("queue.leave"))
		}, harness.Limit)
	})
}

// The log of any server can be checked, such as one that was written to a file.
func ExampleCheckLog() {
	s, err := testserver.Start(nil)
	if err != nil {
		log.Fatal(err)
	}
	c, err := s.Connect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if err := errors.Join(c.Close(), s.Stop()); err != nil {
		log.Fatal(err)
	}
	fmt.Println(harness.CheckLog(s.Log.String(), harness.Payload{}))
	fmt.Println(errors.Is(harness.CheckLog(s.Log.String(), harness.Payload{}, "queue"), harness.ErrSecret))
	// Output:
	// <nil>
	// true
}
