package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// passing is what meets every goal, and only just.
func passing() results {
	times := typicalTimes()
	for _, g := range handshakeGoals() {
		times[string(g.of[0])], times[string(g.of[1])] = 102e3, 100e3
	}
	for _, size := range sizes {
		name := "Request/size=" + size.octets + "/of="
		times[name+"tls"], times[name+"tls+write"], times[name+"tcp"] = 10e3, 11e3, 6e3
		times[name+"sallyport"], times[name+"sallyport-nulllog"] = 11.5e3, 10.4e3
	}
	maps.Copy(times, map[string]float64{
		"Pipeline/window=64/of=sallyport": 2e3, "Pipeline/window=64/of=sallyport-nulllog": 1.2e3, "Pipeline/window=64/of=tls": 500,
		"Sessions/clients=1/of=sallyport": 800e3, "Sessions/clients=2/of=sallyport": 450e3, "Sessions/clients=8/of=sallyport": 420e3,
		"Sessions/clients=1/of=tls": 700e3, "Sessions/clients=2/of=tls": 380e3, "Sessions/clients=8/of=tls": 350e3,
		"Lobby/idle=0/of=sallyport": 800e3, "Lobby/idle=1000/of=sallyport": 900e3,
		"PeerRequest/size=64/of=sallyport": 10e3, "PeerRequest/size=64/of=ssh": 17e3, "PeerRequest/size=64/of=http": 41e3,
		"PeerLogin/of=sallyport": 800e3, "PeerLogin/of=ssh": 900e3, "PeerLogin/of=postgres": 4100e3,
		"PeerPipeline/window=64/of=sallyport": 2e3, "PeerPipeline/window=64/of=redis": 2.5e3,
	})
	r := made(times)
	for _, s := range r["Lobby/idle=1000/of=sallyport"] {
		s.Metrics["B/stranger"] = 26 << 10
	}
	return r
}

// slowed is the same with the product slower, hungrier and larger.
func slowed(r results, by float64, except string) results {
	for name, samples := range r {
		if !strings.Contains(name, "of=sallyport") || strings.Contains(name, except) {
			continue
		}
		for round, s := range samples {
			s.Metrics = maps.Clone(s.Metrics)
			for metric := range s.Metrics {
				s.Metrics[metric] *= by
			}
			s.Steps = slices.Clone(s.Steps)
			for i := range s.Steps {
				s.Steps[i] = s.Steps[i] * 3 / 2
			}
			samples[round] = s
		}
	}
	return r
}

func TestAllGoalsCanBeMet(t *testing.T) {
	made := rows(goals(), passing())
	if want := len(goals()) - 5; len(made) != want { // gRPC, Dovecot, OpenSSH, go-redis and derived keys did not run
		t.Errorf("%d rows of %d", len(made), want)
	}
	for _, r := range made {
		if r.judged() && !r.met() {
			t.Errorf("missed: %q", r.cells())
		}
	}
}

// The control: what is half as fast again as the floor allows must miss each goal.
func TestAllGoalsCanBeMissed(t *testing.T) {
	seen := map[string]bool{}
	// Some compare the product with itself: that side stays as it is.
	for _, except := range []string{"keys=cached", "clients=1/", "idle=0"} {
		for _, r := range rows(goals(), slowed(passing(), 1.5, except)) {
			seen[r.name] = seen[r.name] || r.judged() && !r.met()
		}
	}
	for _, g := range goals() {
		if missed, run := seen[g.name]; run && g.limit.bound != 0 && !missed {
			t.Errorf("%s can't be missed", g.name)
		}
	}
}

func TestGoalsHaveTheirNames(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range goals() {
		if seen[g.name] || g.name == "" || g.figure == "" || g.limit.sign == "" {
			t.Errorf("%+v", g)
		}
		seen[g.name] = true
	}
}

func TestFormulas(t *testing.T) {
	r := passing()
	for name, want := range map[string]float64{
		"Login/keys=derived/iterations=4096/over=pbkdf2": (1670. - 760) / 900,
		"Pipeline/window=64/over=tls":                    500. / 2000,
		"Sessions/clients=8/scaling/over=tls":            (800. / 420) / (700. / 350),
		"PeerLogin/keys=cached/against=postgres":         4100. / 800,
		"Lobby/idle=1000/p99/over=idle=0":                900. / 800,
		"Handoff/waiting=15/over=idle-roundtrip":         141. / 60,
	} {
		i := slices.IndexFunc(goals(), func(g goal) bool { return g.name == name })
		if i < 0 {
			t.Fatalf("no %s", name)
		}
		got := rows(goals()[i:i+1], r)[0].ratio.mid
		if got/want < 0.99999 || got/want > 1.00001 {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestWhatWasNotRunIsLeftOut(t *testing.T) {
	r := passing()
	delete(r, "Request/size=64/of=tls+write")
	for _, row := range rows(goals(), r) {
		if row.name == "Request/size=64/over=tls+write" {
			t.Error("a row without its floor")
		}
	}
	if made := rows(goals(), results{}); made != nil {
		t.Errorf("rows of nothing: %v", made)
	}
}

func TestLimits(t *testing.T) {
	for _, c := range []struct {
		limit limit
		value float64
		met   bool
		shown string
	}{
		{atMost(1.1), 1.1, true, "1.100"},
		{atMost(1.1), 1.1000001, false, "1.101"},
		{below(1.25), 1.25, false, "1.250"},
		{below(1.25), 1.2499999, true, "1.250"},
		{atLeast(0.22), 0.22, true, "0.220"},
		{atLeast(0.22), 0.2199999, false, "0.219"},
		{above(1), 1, false, "1.000"},
		{above(1), 1.0000001, true, "1.000"},
	} {
		if met, shown := c.limit.met(c.value), c.limit.print(c.value); met != c.met || shown != c.shown {
			t.Errorf("%v against %v: %v, %s", c.value, c.limit, met, shown)
		}
	}
}

func TestSelectors(t *testing.T) {
	names := []string{
		"Login/iterations=4096/of=tls", "Login/of=tls", "Login/keys=derived/iterations=15000/of=tls",
		"Lobby/idle=10/of=sallyport", "Lobby/idle=1000/of=sallyport", "Request/size=64/of=tls+write",
	}
	for s, want := range map[selector]string{
		"Login/[iterations=4096]/of=tls":                "Login/iterations=4096/of=tls",
		"Login/[keys=cached]/[iterations=15000]/of=tls": "Login/of=tls",
		"Lobby/idle=10/of=sallyport":                    "Lobby/idle=10/of=sallyport",
		"Lobby/idle=1/of=sallyport":                     "",
		"Request/size=64/of=tls":                        "",
		"Request/of=tls+write":                          "Request/size=64/of=tls+write",
		"Login/keys=cached/of=tls":                      "",
	} {
		if got, _ := s.find(names); got != want {
			t.Errorf("%s finds %q, want %q", s, got, want)
		}
	}
}
