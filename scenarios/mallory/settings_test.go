package mallory

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/fixtures"
)

func TestUnknownSettings(t *testing.T) {
	t.Parallel()
	for setting, value := range map[string]string{
		"colour": "red", "play": "nobody", "tls": "1.0", "server-tls": "1.1", "certificate": "odd",
		"admission": "lottery", "binding": "last", "login-timeout": "soon", "queue-wait": "1", "patience": "x",
		"requests": "none", "require-binding": "no", "no-wait": "no",
	} {
		transcript := fixtures.Transcript{Name: "wire/x", Settings: map[string]string{setting: value}}
		if _, err := NewWire(transcript); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: %s: %v", setting, value, err)
		}
	}
}

func TestUnknownDeeds(t *testing.T) {
	t.Parallel()
	r := &replay{Wire: &Wire{}, symbols: fixtures.Symbols{}}
	p := &peer{raw: &tapped{}}
	if err := r.do(t.Context(), p, "dance"); err == nil {
		t.Error("Mallory dances")
	}
	if err := r.expect(p, "dance"); err == nil {
		t.Error("the server dances")
	}
}
