package specs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/sallyport/sallyport/protocol"
	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/specs/harness"
)

// refusedWith matches the error of a reply with this code and keyword.
func refusedWith(code protocol.Code, keyword protocol.Keyword) types.GomegaMatcher {
	return WithTransform(func(err error) string {
		if reply, ok := errors.AsType[*protocol.ReplyError](err); ok {
			return (&protocol.ReplyError{Code: reply.Code, Keyword: reply.Keyword}).Error()
		}
		return fmt.Sprint("no reply of the server: ", err)
	}, Equal((&protocol.ReplyError{Code: code, Keyword: keyword}).Error()))
}

// dial opens a TCP connection.
func dial(ctx context.Context, h *harness.H) net.Conn {
	GinkgoHelper()
	c, err := new(net.Dialer).DialContext(ctx, "tcp", h.Addr)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = c.Close() })
	return c
}

// auth returns AUTH with a client-first message.
func auth(mechanism, first string) string {
	return "AUTH " + mechanism + " " + base64.StdEncoding.EncodeToString([]byte(first))
}

// brief returns the values of those fields that a record has.
func brief(r testserver.Record, fields ...string) string {
	var values []string
	for _, field := range fields {
		if value, ok := r[field]; ok {
			values = append(values, fmt.Sprint(value))
		}
	}
	return strings.Join(values, " ")
}
