package specs

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"math"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol/scram"
)

// What a server without the password may try beside the messages of SCRAM.
var _ = Describe("A client that does not trust its server", Label("area:login"), func() {
	say := func(end *remoteClient, reply string) {
		GinkgoHelper()
		_, err := io.WriteString(end, reply+"\r\n")
		Expect(err).NotTo(HaveOccurred())
	}
	// begun is a client that has sent client-first, and a challenge for it.
	begun := func(ctx SpecContext, dialCtx context.Context, d *client.Dialer, iterations int) (end *remoteClient, challenge string) {
		GinkgoHelper()
		end = acceptClient(dialCtx, scripts["scram/00-plus"][0], d)
		first, err := end.Next(ctx, nil)
		Expect(err).NotTo(HaveOccurred())
		_, nonce, _ := strings.Cut(string(first), ",r=")
		return end, fmt.Sprintf("r=%sx,s=QQ==,i=%d", nonce, iterations)
	}
	givesUp := func(end *remoteClient, why error) {
		GinkgoHelper()
		Expect(<-end.dialled).To(MatchError(why))
		Expect(io.ReadAll(end.in)).To(BeEmpty(), "what the client said in the end")
	}

	It("does not believe a 235 without a signature", Label("battery:24"), func(ctx SpecContext) {
		end, challenge := begun(ctx, ctx, &client.Dialer{}, scram.MinIterations)
		_, err := end.Next(ctx, []byte(challenge))
		Expect(err).NotTo(HaveOccurred())
		say(end, "235 welcome")
		givesUp(end, client.ErrServerUnverified)
	}, limit)

	It("does not believe a 235 without a challenge", Label("battery:24"), func(ctx SpecContext) {
		end, _ := begun(ctx, ctx, &client.Dialer{}, scram.MinIterations)
		say(end, "235 welcome")
		givesUp(end, client.ErrServerUnverified)
	}, limit)

	It("gives up where the binding is refused, and tries nothing weaker", Label("battery:26", "promise:3"), func(ctx SpecContext) {
		end, _ := begun(ctx, ctx, &client.Dialer{}, scram.MinIterations)
		say(end, "504 mechanism not offered, see EHLO")
		givesUp(end, client.ErrBindingUnavailable)
	}, limit)

	It("stops the computation that the server asked for when its context ends", Label("battery:22"), func(ctx SpecContext) {
		const hours = 2_000_000_000
		dialCtx, cancel := context.WithCancel(ctx)
		defer cancel()
		end, challenge := begun(ctx, dialCtx, &client.Dialer{MaxIterations: math.MaxInt32}, hours)
		say(end, "334 "+base64.StdEncoding.EncodeToString([]byte(challenge)))
		cancel()
		Expect(<-end.dialled).To(MatchError(context.Canceled))
	}, limit)
})
