package scenarios

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are key=value words.
type options map[string]string

// parseOptions reads the options of a command. A word without = is an option with an empty value.
func parseOptions(words []string, known ...string) (options, error) {
	all := options{}
	for _, word := range words {
		key, value, _ := strings.Cut(word, "=")
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("unknown option %q; those known: %s", key, strings.Join(known, " "))
		}
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("option %q is there twice", key)
		}
		all[key] = value
	}
	return all, nil
}

func (o options) has(key string) bool { _, ok := o[key]; return ok }

// number reads an option into n, if it is there.
func (o options) number(key string, n *int) error {
	text, ok := o[key]
	if !ok {
		return nil
	}
	value, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%s=%q is no number", key, text)
	}
	*n = value
	return nil
}

// duration reads an option into d, if it is there.
func (o options) duration(key string, d *time.Duration) error {
	text, ok := o[key]
	if !ok {
		return nil
	}
	value, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("%s=%q is no duration such as 200ms", key, text)
	}
	*d = value
	return nil
}

// version reads a version of TLS, 0 for none and where the option isn't there.
func (o options) version(key string) (uint16, error) {
	versions := map[string]uint16{"none": 0, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}
	version, ok := versions[o[key]]
	if o.has(key) && !ok {
		return 0, fmt.Errorf("%s can't be %q but none, 1.1, 1.2 or 1.3", key, o[key])
	}
	return version, nil
}

// hexPrefix begins a body that is written in hex.
const hexPrefix = "hex:"

// bodyOf returns a body as a scenario writes it: the text itself, hex:HEX, or xN for N times the letter x.
func bodyOf(text string) ([]byte, error) {
	if digits, ok := strings.CutPrefix(text, hexPrefix); ok {
		body, err := hex.DecodeString(digits)
		if err != nil {
			return nil, fmt.Errorf("the body %.40q is not hex: %w", text, err)
		}
		return body, nil
	}
	if len(text) > 1 {
		if n, err := strconv.Atoi(text[1:]); err == nil && n >= 0 && n <= maxFile {
			return []byte(strings.Repeat(text[:1], n)), nil
		}
	}
	return []byte(text), nil
}
