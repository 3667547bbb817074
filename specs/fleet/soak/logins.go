//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// measureLogins logs in at a gate with a shared seat and at one without, in turn, and compares.
func (w *world) measureLogins(ctx context.Context, n int) error {
	if err := w.newGate(len(w.gates), false); err != nil {
		return err
	}
	etcd, err := w.cluster.client()
	if err != nil {
		return err
	}
	defer etcd.Close()
	plain := len(w.gates) - 1
	var shared, alone, put []time.Duration
	for range n {
		a, err := w.visitors[0].login(ctx, 0)
		b, err2 := w.visitors[1].login(ctx, plain)
		began := time.Now()
		_, err3 := etcd.Put(ctx, "measure", "", clientv3.WithPrevKV())
		if err != nil || err2 != nil || err3 != nil {
			return fmt.Errorf("%w, %w, %w", err, err2, err3)
		}
		shared, alone, put = append(shared, a), append(alone, b), append(put, time.Since(began))
	}
	more := median(shared) - median(alone)
	fmt.Printf("| login | median |\n| --- | ---: |\n| with a seat of its own | %v |\n| with --fleet-seat | %v |\n| more | %v |\n| a write to etcd | %v |\n",
		median(alone), median(shared), more, median(put))
	fmt.Printf("a login with --fleet-seat takes as much more as %.2f writes to etcd\n", float64(more)/float64(median(put)))
	return nil
}

// login logs in and leaves. It returns how long the login took.
func (v *visitor) login(ctx context.Context, gate int) (time.Duration, error) {
	a := v.begin(gate)
	began := time.Now()
	c, err := v.dial(ctx, a)
	if err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, c.Quit(ctx)
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2].Round(time.Microsecond)
}
