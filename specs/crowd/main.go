// Command crowd measures what strangers do to a login and to a seated client, beside what the same strangers do
// to a bare TLS accept loop with the same limits. Each round measures both in turns, so that a busy machine is
// busy for both, and the table has the medians of the rounds. It needs loopback addresses beyond 127.0.0.1.
//
//	go run ./specs/crowd          # five rounds
//	go run ./specs/crowd -short   # one round of the server alone; it fails if a good login is refused
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// A trial is a crowd, and what is measured beside it.
type trial struct {
	name   string
	attack func(context.Context, target)
	// warm is the time before the measurement.
	warm time.Duration
	// measure returns the times of what an honest client does until the context ends, and how often it failed.
	measure func(context.Context, target) (times []time.Duration, refused int)
}

var trials = []trial{
	{"a login, while nobody else is there", func(context.Context, target) {}, 0, logins},
	{"a login beside the crowd", crowd, 15 * time.Second, logins},
	{"a request, while nobody else is there", func(context.Context, target) {}, 0, requests},
	{"a request beside a flood of commands", commandFlood, time.Second, requests},
	{"a request beside a flood of connections", connectionFlood, time.Second, requests},
	{"a request beside a flood of handshakes", handshakeFlood, time.Second, requests},
}

func main() {
	rounds := flag.Int("rounds", 5, "how often each trial is measured")
	measure := flag.Duration("measure", 10*time.Second, "how long each measurement takes")
	short := flag.Bool("short", false, "only see that no good login beside the crowd is refused")
	flag.Parse()
	if err := run(*rounds, *measure, *short); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(rounds int, measure time.Duration, short bool) error {
	if short {
		_, refused, err := once(trials[1], startServer, min(measure, 5*time.Second))
		if err == nil && refused > 0 {
			err = fmt.Errorf("%d good logins were refused beside the crowd", refused)
		}
		return err
	}
	fmt.Println("| what | p99, ms | bare loop, ms | ratio | refused |\n| --- | --- | --- | --- | --- |")
	for _, t := range trials {
		var ours, bares, ratios []float64
		all := 0
		for range rounds {
			a, refused, err := once(t, startServer, measure)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			b, _, err := once(t, startBare, measure)
			if err != nil {
				return fmt.Errorf("%s, bare loop: %w", t.name, err)
			}
			ours, bares, ratios, all = append(ours, a), append(bares, b), append(ratios, a/b), all+refused
		}
		fmt.Printf("| %s | %.1f | %.1f | %.2f | %d |\n", t.name, median(ours), median(bares), median(ratios), all)
	}
	return nil
}

// once runs a trial, and returns the 99th percentile in ms.
func once(t trial, start func() (target, error), measure time.Duration) (p99 float64, refused int, err error) {
	server, err := start()
	if err != nil {
		return 0, 0, err
	}
	defer server.stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		t.attack(ctx, server)
	}()
	time.Sleep(t.warm)
	limited, stop := context.WithTimeout(ctx, measure)
	defer stop()
	times, refused := t.measure(limited, server)
	cancel()
	<-ended
	if len(times) == 0 {
		return 0, refused, fmt.Errorf("nothing was measured, and %d times the server refused", refused)
	}
	slices.Sort(times)
	return times[len(times)*99/100].Seconds() * 1000, refused, nil
}

func median(all []float64) float64 {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}
