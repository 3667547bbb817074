package specs

import (
	"errors"
	"fmt"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"github.com/sallyport/sallyport/protocol"
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
