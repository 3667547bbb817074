package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// verifies runs "sallyport log verify" on all files of a log. Files belong together where one continues the
// head of the one before. A file without a head begins a new chain: the one before was moved away while no
// server ran. Only behind a file whose end is lost may the head be another one.
func verifies(ctx context.Context, bin string, pieces []piece) error {
	var all error
	for _, group := range chains(pieces) {
		args := []string{"log", "verify"}
		for _, p := range group {
			args = append(args, p.path)
		}
		if out, err := exec.CommandContext(ctx, bin, args...).CombinedOutput(); err != nil {
			all = errors.Join(all, fmt.Errorf("log verify %q: %w: %s", args[2:], err, out))
		}
	}
	return all
}

// chains groups the files that continue each other.
func chains(pieces []piece) (groups [][]piece) {
	cut := true
	for _, p := range pieces {
		line := firstLine(p.path)
		var first record
		begins := json.Unmarshal([]byte(line), &first) == nil && first.Head == ""
		switch {
		case line == "":
			cut = cut || p.cut
			continue
		case cut || begins:
			groups = append(groups, []piece{p})
		default:
			groups[len(groups)-1] = append(groups[len(groups)-1], p)
		}
		cut = p.cut
	}
	return groups
}

func firstLine(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	line, _ := bufio.NewReader(file).ReadString('\n')
	return line
}

// flat compares the last third of the samples with the first. Memory may vary by a quarter and 8 MiB, because
// the collector gives it back late.
func flat(samples []sample) error {
	third := len(samples) / 3
	if third == 0 {
		return nil
	}
	first, last := samples[:third], samples[len(samples)-third:]
	if before, after := medianMemory(first), medianMemory(last); after > before+before/4+8<<20 {
		return fmt.Errorf("memory at rest has grown from %d to %d MiB: %v", before>>20, after>>20, samples)
	}
	least := func(some []sample) int {
		return slices.MinFunc(some, func(a, b sample) int { return a.descriptors - b.descriptors }).descriptors
	}
	if before, after := least(first), least(last); after > before+2 {
		return fmt.Errorf("descriptors at rest have grown from %d to %d: %v", before, after, samples)
	}
	return nil
}

func medianMemory(samples []sample) int64 {
	var all []int64
	for _, s := range samples {
		all = append(all, s.rss)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// maxGoroutines is how many a server at rest may have: the runtime's own, and those that wait for connections,
// signals and time.
const maxGoroutines = 30

func few(goroutines int) error {
	if goroutines > maxGoroutines {
		return fmt.Errorf("the server at rest had %d goroutines", goroutines)
	}
	return nil
}

// arguments returns the flags of the act's server, for messages.
func (h *host) arguments() string {
	if h == nil {
		return ""
	}
	return strings.Join(h.flags, " ")
}
