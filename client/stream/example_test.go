package stream_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"strings"

	"github.com/sallyport/sallyport/client"
	"github.com/sallyport/sallyport/client/stream"
)

var c *client.Client // that has the seat

// A program asks an instrument, and says whether the answer is complete.
func Example() {
	ctx := context.Background()
	s, err := stream.Open(ctx, c)
	if err != nil {
		log.Fatal(err)
	}
	go func() { // a client reads while it writes
		_, _ = io.Copy(s, strings.NewReader("*IDN?\n"))
		_ = s.CloseWrite()
	}()
	answer, err := io.ReadAll(s)
	if err == nil {
		_, _, err = s.Wait(ctx)
	}
	if err != nil {
		log.Fatalf("after %q: %v", answer, err) // evicted, idle, the instrument failed, ...
	}
	fmt.Printf("%s", answer)
	_ = c.Quit(ctx)
}
