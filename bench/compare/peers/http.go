package peers

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"github.com/sallyport/sallyport/bench"
	"github.com/sallyport/sallyport/scenarios/testserver"
)

// httpRequest is a POST and its answer on a connection that is kept. The server leaves out the headers
// that it need not send, and reads and writes a body of known length, so that HTTP/1.1 has one TLS
// record each way. The client is a bare RoundTrip: no cookies, no redirections, no parsing of addresses.
func httpRequest(set func(protocols *http.Protocols, on bool)) func(bench.T) *bench.Rig {
	return func(t bench.T) *bench.Rig {
		only := new(http.Protocols)
		set(only, true)
		server := &http.Server{Handler: http.HandlerFunc(echoHTTP), TLSConfig: plain(bench.ServerTLS(testserver.ECDSA)), Protocols: only}
		l := bench.Listen(t)
		go func() { _ = server.ServeTLS(l, "", "") }()
		t.Cleanup(func() { _ = server.Close() })
		transport := &http.Transport{TLSClientConfig: plain(bench.ClientTLS(testserver.ECDSA)), DisableCompression: true, Protocols: only}
		t.Cleanup(transport.CloseIdleConnections)
		request, err := http.NewRequest(http.MethodPost, "https://"+l.Addr().String()+"/echo", nil)
		bench.Check(t, err)
		request.ContentLength = payload
		request.Header["User-Agent"] = nil
		ctx, got := context.Background(), make([]byte, payload+1)
		return echoes(func() ([]byte, error) {
			r := request.WithContext(ctx)
			r.Body = io.NopCloser(bytes.NewReader(sent))
			response, err := transport.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			defer response.Body.Close()
			n, err := io.ReadFull(response.Body, got) // to the end: else the connection is not used again
			if err == io.ErrUnexpectedEOF {
				return got[:n], nil
			}
			return nil, errors.Join(errors.New("http: more than was sent"), err)
		})
	}
}

func echoHTTP(w http.ResponseWriter, r *http.Request) {
	var body [payload]byte
	if _, err := io.ReadFull(r.Body, body[:]); err != nil {
		http.Error(w, "cut", http.StatusBadRequest)
		return
	}
	header := w.Header()
	header["Date"], header["Content-Type"], header["Content-Length"] = nil, binary, length
	_, _ = w.Write(body[:])
}

// The values are made once.
var binary, length = []string{"application/octet-stream"}, []string{"64"}
