package main

import (
	"maps"
	"time"
)

// made is samples whose times are known: in every round by as much slower as
// the machine is in that round.
func made(times map[string]float64) results {
	r := results{}
	for round := range 40 {
		drift := 1 + float64(round%7)/3
		for name, took := range times {
			r.add(round, sample{Name: name, Ops: 1, Metrics: map[string]float64{
				"ns/op": took * drift, "allocs/op": 2, "B/op": 64,
			}, Steps: spread(took * drift)})
		}
	}
	return r
}

// spread is a hundred times around one, the last twice as long.
func spread(took float64) (steps []time.Duration) {
	for i := range 99 {
		steps = append(steps, time.Duration(took*(1+float64(i-50)/1000)))
	}
	return append(steps, time.Duration(2*took))
}

// typicalTimes are about those of a machine, in nanoseconds.
func typicalTimes() map[string]float64 {
	times := map[string]float64{
		"Login/of=tls": 700e3, "Login/of=tls+exchange": 715e3, "Login/of=scram": 20e3, "Login/of=log": 12e3,
		"Login/iterations=4096/of=pbkdf2": 900e3, "Login/iterations=15000/of=pbkdf2": 3300e3,
		"Handoff/of=idle-roundtrip": 60e3, "Handoff/waiting=1/of=sallyport": 120e3,
		"Handoff/waiting=4/of=sallyport": 126e3, "Handoff/waiting=15/of=sallyport": 141e3,
	}
	maps.Copy(times, map[string]float64{
		"Login/keys=cached/iterations=4096/of=sallyport": 760e3, "Login/keys=derived/iterations=4096/of=sallyport": 1670e3,
		"Login/keys=cached/iterations=15000/of=sallyport": 765e3, "Login/keys=derived/iterations=15000/of=sallyport": 4090e3,
	})
	for size, scale := range map[string]float64{"64": 1, "4096": 1.3, "65536": 9} {
		for of, took := range map[string]float64{"sallyport": 22e3, "sallyport-nulllog": 20e3, "tls+write": 21e3, "tls": 19e3, "tcp": 14e3} {
			times["Request/size="+size+"/of="+of] = took * scale
		}
	}
	return times
}
