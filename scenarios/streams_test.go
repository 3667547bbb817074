package scenarios

import (
	"testing"
	"time"

	"github.com/sallyport/sallyport/scenarios/testserver"
	"github.com/sallyport/sallyport/server"
)

// The checks of streams can fail.
func TestStreamChecksFail(t *testing.T) {
	const (
		streams = "server backend=duplex\nalice login\nalice streams\n"
		lines   = "server backend=duplex\nalice connect\nalice reaches session\nalice sends STREAM\nalice hears 152\n"
	)
	checkErrors(t, &Target{Timeout: 2 * time.Second}, map[string]string{
		streams + "alice sends-data abc\nbackend hears-data abd":                                  "expected \"d\"\nheard    \"c\"",
		streams + "backend sends-data abc\nalice hears-data abd":                                  "expected \"d\"\nheard    \"c\"",
		streams + "backend sends-data abc\nalice hears-data ab\nbackend ends\nalice hears-end":    "before the end came \"c\"",
		streams + "alice sends-data abc\nalice ends-data\nbackend hears end":                      "before the end the backend heard \"abc\"",
		streams + "alice tells break\nbackend hears end":                                          "heard \"break\"",
		streams + "alice aborts\nbackend hears reset\nbackend hears closed\nbackend hears-data x": "the stream is over",
		streams + "alice aborts\nalice hears-data x":                                              "after 0 of 1 bytes: ",
		streams + "alice sends-data ab\nalice pings-until 1":                                      "the backend has taken 2 bytes",
		streams + "! alice streams\n! alice ask NOOP\nalice tells nothing":                        "\"nothing\" is none of break, line and window",
		"server backend=duplex\nalice login\nalice pings":                                         "alice has no stream",
		"server backend=toaster\nalice login":                                                     "toaster",
		lines + "backend sends-data x\nalice sends QUIT\nalice hears 503\nalice ends":             "before the end came \"x\"",
	})
}

// A server that opens the backend for a second client while the first one has it is found.
func TestBackendForOneIsOpenedTwice(t *testing.T) {
	t.Parallel()
	h := &host{Server: &testserver.Server{Server: new(server.Server)}}
	noError(t, h.guard(options{"backend": "duplex"}, func() {}))
	first, err := h.Backend(t.Context(), nil)
	noError(t, err)
	one := h.device
	if _, err := h.Backend(t.Context(), nil); err != errTwice || one.fault != errTwice {
		t.Errorf("got %v, and the backend notices %v", err, one.fault)
	}
	noError(t, first.Close())
	if _, err := h.Backend(t.Context(), nil); err != nil || h.device.fault != nil {
		t.Error(err, h.device.fault)
	}
}
