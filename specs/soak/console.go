package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// consoleEach and consoleEvery are how much the backend of -console says how often: 10 MB a minute.
	consoleEach  = 16_667
	consoleEvery = 100 * time.Millisecond
	// consoleGrowth is how much memory a server may gain while its backend talks to nobody.
	consoleGrowth = 8 << 20
)

// consoleMarks are the parts of the run after which memory is printed: 1, 5 and 10 of 10 minutes.
var consoleMarks = []float64{0.1, 0.5, 1}

// runConsole measures the memory of a server whose backend talks while nobody is seated, and returns the exit code.
func runConsole(o options) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := console(ctx, o); err != nil {
		fmt.Println("FAILED:", err)
		return 1
	}
	return 0
}

func console(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "sallyport-console-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := build(ctx, dir)
	if err != nil {
		return err
	}
	talker, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer talker.Close()
	go talk(talker)
	s, err := startServer(ctx, bin, filepath.Join(dir, "state"), "--backend", "tcp:"+talker.Addr().String(), "--console", "--watchers", "4")
	if err != nil {
		return err
	}
	defer s.ended(0)
	return watchMemory(ctx, s, o.length)
}

// watchMemory prints the memory of a server at its start and at the marks. It returns an error if it grows behind the
// first mark.
func watchMemory(ctx context.Context, s *server, length time.Duration) error {
	before, _, ok := s.usage()
	if !ok {
		return errors.New("this system does not say how much memory a process has")
	}
	fmt.Printf("start     %6d KiB\n", before>>10)
	began := time.Now()
	for i, mark := range consoleMarks {
		at := time.Duration(mark * float64(length))
		select {
		case <-time.After(time.Until(began.Add(at))):
		case <-ctx.Done():
			return ctx.Err()
		}
		now, _, _ := s.usage()
		fmt.Printf("%-9v %6d KiB\n", at, now>>10)
		if i > 0 && now > before+consoleGrowth {
			return fmt.Errorf("memory has grown by %d KiB", (now-before)>>10)
		}
		before = now
	}
	return nil
}

// talk is a backend that says lines, 10 MB a minute, to each connection.
func talk(l net.Listener) {
	text := []byte(strings.Repeat(strings.Repeat("x", 79)+"\n", consoleEach/80+1))[:consoleEach]
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			tick := time.NewTicker(consoleEvery)
			defer tick.Stop()
			for range tick.C {
				if _, err := conn.Write(text); err != nil {
					return
				}
			}
		}()
	}
}
