package show

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"time"

	"github.com/sallyport/sallyport/server/audit"
)

// record is a line of a log, split into its fields.
type record struct {
	line   []byte
	valid  bool // it is a JSON object
	fields []field
	// These are the texts of the fields with these names. The last of several fields with one name counts.
	time, level, event, conn, user []byte
	// at is the time. Zero means that it can't be read.
	at time.Time
}

// field is one field of a record.
type field struct {
	name  []byte
	value []byte // the value as JSON
	text  []byte // the value, decoded if it is a string
}

// records returns the lines of all files, each valid until the next. It flushes out before it waits for more.
func records(files []audit.File, out flusher) iter.Seq2[*record, error] {
	return func(yield func(*record, error) bool) {
		var r record
		for _, f := range files {
			for line, err := range audit.Lines(flushing{f, out}) {
				if err != nil && !errors.Is(err, audit.ErrTorn) {
					yield(nil, named(f.Name, err))
					return
				}
				if r.parse(line); !yield(&r, nil) {
					return
				}
			}
		}
	}
}

// named adds the name of a file to an error, unless the error has it.
func named(name string, err error) error {
	if _, has := errors.AsType[*fs.PathError](err); has {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

type flusher interface{ Flush() error }

// flushing is a reader that flushes out before each read.
type flushing struct {
	io.Reader
	out flusher
}

// Read flushes out and reads.
func (f flushing) Read(p []byte) (int, error) {
	if err := f.out.Flush(); err != nil {
		return 0, err
	}
	return f.Reader.Read(p)
}

// parse splits a line into its fields. (A json.Decoder takes ten times as long.)
func (r *record) parse(line []byte) {
	*r = record{line: line, fields: r.fields[:0]}
	if line[0] != '{' || line[len(line)-1] != '\n' || !json.Valid(line) {
		return
	}
	r.valid = true
	for rest := skip(line[1:]); rest[0] != '}'; rest = skip(rest) {
		var f field
		f.name, rest = cut(rest)
		f.value, rest = cut(skip(rest))
		f.name, f.text = decode(f.name), decode(f.value)
		r.fields = append(r.fields, f)
		r.note(f)
	}
	_ = r.at.UnmarshalText(r.time)
}

// note keeps the text of a field that all events may have.
func (r *record) note(f field) {
	switch string(f.name) {
	case "time":
		r.time = f.text
	case "level":
		r.level = f.text
	case "event":
		r.event = f.text
	case "conn":
		r.conn = f.text
	case "user":
		r.user = f.text
	}
}

// get returns the decoded value of a field. It is empty if the record has no such field.
func (r *record) get(name string) string {
	for _, f := range r.fields {
		if string(f.name) == name {
			return string(f.text)
		}
	}
	return ""
}

// skip removes white space and the separators between the members of an object.
func skip(b []byte) []byte { return bytes.TrimLeft(b, " \t\r\n,:") }

// cut returns the first value of the members of a valid JSON object, and the rest.
func cut(b []byte) (value, rest []byte) {
	end := 1
	switch b[0] {
	case '"':
		for ; b[end] != '"'; end++ {
			if b[end] == '\\' {
				end++
			}
		}
		end++
	case '{', '[': // the server writes no such values
		var nested json.RawMessage
		d := json.NewDecoder(bytes.NewReader(b))
		_ = d.Decode(&nested)
		end = int(d.InputOffset())
	default:
		end = bytes.IndexAny(b, ",} \t\r\n")
	}
	return b[:end], b[end:]
}

// decode returns the text of a string. It returns other values unchanged.
func decode(value []byte) []byte {
	if value[0] != '"' {
		return value
	}
	if !bytes.Contains(value, []byte(`\`)) {
		return value[1 : len(value)-1]
	}
	var text string
	_ = json.Unmarshal(value, &text)
	return []byte(text)
}
