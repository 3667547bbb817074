package scenarios

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// options are key=value words.
type options map[string]string

// parseOptions takes the words of a command; one that has no = is an option
// without a value. What is not known is refused.
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
