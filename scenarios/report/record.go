package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"time"
)

// A record is a line of the interaction log in its parts.
type record struct {
	// At is the time since the beginning of the run, Time the text in the log.
	At, Time, Event string
	Fields          []field
	Chain           string
	// Raw is a line that is not a record.
	Raw string
}

type field struct{ Key, Value string }

// maxFields bounds the fields of a record.
const maxFields = 40

// newRecord splits a record into its fields, in their order. It keeps a line that is not a record.
func newRecord(raw json.RawMessage, start time.Time) record {
	fields, err := fieldsOf(raw)
	if err != nil {
		return record{Raw: visible(string(raw), maxText)}
	}
	r := record{}
	for _, f := range fields {
		value := visible(f.Value, maxText)
		switch f.Key {
		case "time":
			r.Time, r.At = value, value
			if t, err := time.Parse(time.RFC3339Nano, f.Value); err == nil {
				r.At = span(max(0, t.Sub(start)))
			}
		case "event":
			r.Event = value
		case "chain":
			r.Chain = value
		default:
			r.Fields = append(r.Fields, field{visible(f.Key, maxText), value})
		}
	}
	return r
}

var errNoRecord = errors.New("not a record")

func fieldsOf(raw json.RawMessage) (fields []field, err error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, errNoRecord
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		if len(fields) == maxFields {
			return nil, errNoRecord
		}
		name, _ := key.(string)
		fields = append(fields, field{name, plain(value)})
	}
	_, err = d.Token()
	return fields, err
}

// plain returns a string without quotes, and any other value, or a string with spaces, as JSON.
func plain(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil || s == "" || strings.ContainsAny(s, " =\"") {
		return string(value)
	}
	return s
}
