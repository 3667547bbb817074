package peers

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/sallyport/sallyport/bench"
)

// httpRequest is a POST and its answer on a connection that is kept alive, with
// HTTP/1.1 alone. The server leaves out the headers that it need not send, and
// reads and writes a body whose length is known, so that each way is one record.
// The client is a bare RoundTrip with one request used over and over: no cookies,
// no redirections, no parsing of addresses.
func httpRequest(t bench.T) *bench.Rig {
	only := new(http.Protocols)
	only.SetHTTP1(true)
	server := &http.Server{Handler: http.HandlerFunc(echoHTTP), TLSConfig: serverTLS(), Protocols: only}
	l := bench.Listen(t)
	go func() { _ = server.ServeTLS(l, "", "") }()
	t.Cleanup(func() { _ = server.Close() })
	transport := &http.Transport{TLSClientConfig: clientTLS(), DisableCompression: true, Protocols: only}
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequest(http.MethodPost, "https://"+l.Addr().String()+"/echo", nil)
	if err != nil {
		t.Fatalf("http: %v", err)
	}
	request.ContentLength = payload
	request.Header["User-Agent"] = nil
	body, got := bytes.NewReader(nil), make([]byte, payload)
	return &bench.Rig{Step: timed(func() error {
		body.Reset(sent)
		request.Body = io.NopCloser(body)
		return roundTrip(transport, request, got)
	})}
}

func roundTrip(transport *http.Transport, request *http.Request, got []byte) error {
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, got); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK || response.ContentLength != payload || !same(got) {
		return errors.New("http: not echoed")
	}
	// The end has to be seen, or else the connection is not used again.
	_, err = response.Body.Read(got[:1])
	if err == io.EOF {
		return nil
	}
	return errors.Join(errors.New("http: more than was sent"), err)
}

func echoHTTP(w http.ResponseWriter, r *http.Request) {
	var body [payload]byte
	if _, err := io.ReadFull(r.Body, body[:]); err != nil {
		http.Error(w, "cut", http.StatusBadRequest)
		return
	}
	header := w.Header()
	header["Date"], header["Content-Type"] = nil, octets
	header["Content-Length"] = length
	_, _ = w.Write(body[:])
}

// The values are made once.
var octets, length = []string{"application/octet-stream"}, []string{"64"}
