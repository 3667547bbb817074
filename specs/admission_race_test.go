package specs

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
	"github.com/sallyport/sallyport/specs/harness"
)

// racers is the number of clients. Of each eight one has a wrong password, one vanishes, and one quits before it
// knows whether it has the seat.
const racers = 200

// race is a handler that counts its runs, and the clients of its server.
type race struct {
	h               *harness.H
	running, worked atomic.Int32
	overlapped      atomic.Bool
	served, refused atomic.Int32 // clients
}

func (r *race) ServeRequest(context.Context, *server.Request) (protocol.Reply, error) {
	if r.running.Add(1) != 1 {
		r.overlapped.Store(true)
	}
	runtime.Gosched() // give a second run, if the server allows one, the time to begin
	r.worked.Add(1)
	r.running.Add(-1)
	return protocol.Reply{}, nil
}

func (r *race) dial(ctx context.Context, i int, password string) (*client.Client, error) {
	d := r.h.Dialer()
	d.LoginTimeout = time.Minute
	name := testserver.Names()[i%len(testserver.Names())]
	return d.Dial(ctx, r.h.Addr, client.Credentials{Username: name, Password: testserver.Password(name) + password})
}

// run is client i, from its login to its end.
func (r *race) run(ctx context.Context, i int) error {
	switch i % 8 {
	case 0:
		if _, err := r.dial(ctx, i, " not"); !errors.Is(err, client.ErrLoginFailed) {
			return fmt.Errorf("a wrong password: %w", err)
		}
		return nil
	case 1, 2:
		w := r.h.Connect(ctx).Greeted().LogIn(testserver.Names()[i%len(testserver.Names())], "")
		if i%8 == 2 {
			// With reject the server may have closed the connection.
			_, _ = w.Write([]byte("QUIT\r\n"))
			w.Line()
			_ = w.Close()
			return nil
		}
		return errors.Join(w.TCP.SetLinger(0), w.TCP.Close())
	}
	c, err := r.dial(ctx, i, "")
	if err == nil {
		_, err = c.Do(ctx, harness.Ask("WORK", ""))
	}
	if err == nil {
		r.served.Add(1)
		_ = c.Quit(ctx) // with takeover it may have been evicted
	}
	reply, ok := errors.AsType[*protocol.ReplyError](err)
	if ok && (reply.Keyword == protocol.KeywordBusy || reply.Keyword == protocol.KeywordEvicted) {
		r.refused.Add(1)
		return nil
	}
	return err
}

// alternate checks that no session was opened before the last one was closed.
func alternate(sessions []testserver.Record) {
	GinkgoHelper()
	for i, record := range sessions {
		Expect(record.Str("event")).To(Equal([]string{"session.open", "session.close"}[i%2]), "record %d of %v", i, sessions)
		if i%2 == 1 {
			Expect(record.Str("conn")).To(Equal(sessions[i-1].Str("conn")))
		}
	}
}

var _ = Describe("Admission, when 200 clients race", Label("area:admission", "promise:1", "promise:2", "promise:6", "battery:21"), func() {
	honest := racers * 5 / 8

	DescribeTable("runs one handler at a time, and serves the next client afterwards",
		func(ctx SpecContext, admission server.Admission, all bool) {
			r := &race{}
			r.h = start(func(s *server.Server) {
				s.Admission, s.Handler = admission, r
				s.Limits.Login, s.Limits.LobbyPerSource = -1, racers
			})
			r.h.Eve = nil // she would keep every byte
			var clients sync.WaitGroup
			failures := make(chan error, racers)
			for i := range racers {
				clients.Go(func() {
					defer GinkgoRecover()
					failures <- r.run(ctx, i)
				})
			}
			clients.Wait()
			for range racers {
				Expect(<-failures).NotTo(HaveOccurred())
			}

			Expect(r.overlapped.Load()).To(BeFalse(), "two handlers ran at once")
			Expect(r.served.Load() + r.refused.Load()).To(BeEquivalentTo(honest))
			if all {
				Expect(r.refused.Load()).To(BeZero(), "all are served in turn")
			}
			Expect(r.h.Log.Records("login.fail")).To(HaveLen(racers / 8))
			Eventually(ctx, func() error {
				c, err := r.dial(ctx, 1, "")
				if err == nil {
					_, err = c.Do(ctx, harness.Ask("WORK", ""))
				}
				if err == nil {
					err = c.Quit(ctx)
				}
				return err
			}).Should(Succeed())
			Expect(r.worked.Load()).To(BeNumerically(">", r.served.Load()), "control: the handler counts")
			Eventually(ctx, func() int {
				return len(r.h.Log.Records("session.open")) - len(r.h.Log.Records("session.close"))
			}).Should(BeZero())
			alternate(r.h.Log.Records("session.open", "session.close"))
			Expect(r.h.Log.Verify()).To(Succeed())
		},
		Entry("with a queue, in which all are served in turn", server.Queue{Depth: racers, PerUser: racers}, true, limit),
		Entry("with reject", server.Reject{}, false, limit),
		Entry("with takeover", server.Takeover{}, false, limit),
	)

	It("would notice two handlers at once", Label("control"), func(ctx SpecContext) {
		r := &race{}
		entered, leave := make(chan struct{}), make(chan struct{})
		go func() {
			r.running.Add(1)
			close(entered)
			<-leave
			r.running.Add(-1)
		}()
		<-entered
		_, err := r.ServeRequest(ctx, nil)
		Expect(err).NotTo(HaveOccurred())
		close(leave)
		Expect(r.overlapped.Load()).To(BeTrue())
	}, limit)
})
