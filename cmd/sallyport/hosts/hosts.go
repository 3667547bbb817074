// Package hosts reads the file of hosts, which gives names to servers, with address, CA and login. Start with [Read].
//
//	# comment
//	[rig1]
//	addr = rig1.example.org:7443
//	pin = SHA256:gnvJFjhwOBkRc09Q3/XuJDzLYxX0vTt+flsXKqTrRSI
//	user = alice
//	password-file = ~/.config/sallyport/rig1.pw
//
// The parser is strict: a key that it does not know, or one that is there twice, is an error, because a mistyped
// "pin" would change which servers are trusted. There are no quotes, no continued lines and no comments behind a
// value. A value is the rest of the line without the spaces around it.
package hosts

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	// ErrSyntax means that a line of the file has a fault.
	ErrSyntax = errors.New("hosts: the file has a fault")
	// ErrWritable means that others can change the file, and so choose the servers that the user trusts.
	ErrWritable = errors.New("hosts: others can change the file, and so choose whom you trust")
)

// Keys are the keys of a host. Each is also the name of a flag. The values of ca, password-file, cert and key are
// files: ~/ is the home directory, and other relative names are in the directory of the file of hosts.
var Keys = []string{"addr", "ca", "pin", "user", "password-file", "cert", "key"}

var files = []string{"ca", "password-file", "cert", "key"}

// maxSize bounds the file.
const maxSize = 1 << 20

// validName matches the name of a host.
var validName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)

// Host is a section of the file.
type Host struct {
	// Name is in the heading of the section.
	Name string
	// Values are the values of the keys. The default of addr is the name; other keys may be missing.
	Values map[string]string
}

// Path returns the file of hosts: sallyport/hosts in $XDG_CONFIG_HOME (by default ~/.config; see os.UserConfigDir).
func Path() (string, error) {
	dir, err := os.UserConfigDir()
	return filepath.Join(dir, "sallyport", "hosts"), err
}

// Read reads the hosts of a file, in its order. Without a file there are none. Errors are [ErrWritable], [ErrSyntax]
// with the file and the line, and those of os.
func Read(path string) ([]Host, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if err := checkWriters(path, info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxSize+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSize {
		return nil, syntaxError(path + ": it is larger than 1 MiB")
	}
	return parse(path, text)
}

// parser is the state of reading a file.
type parser struct {
	path string
	line int
	all  []Host
}

func parse(path string, text []byte) ([]Host, error) {
	p := &parser{path: path}
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // the byte order mark of some editors
	for line := range strings.Lines(string(text)) {
		p.line++
		line = strings.TrimSpace(line)
		var err error
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			err = p.heading(line)
		default:
			err = p.setting(line)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := p.finish(); err != nil {
		return nil, err
	}
	return p.all, nil
}

func (p *parser) fault(format string, arguments ...any) error {
	return syntaxError(fmt.Sprintf("%s:%d: %s", p.path, p.line, fmt.Sprintf(format, arguments...)))
}

// syntaxError is an ErrSyntax with its place.
type syntaxError string

func (e syntaxError) Error() string        { return string(e) }
func (e syntaxError) Is(target error) bool { return target == ErrSyntax }

// heading begins a section.
func (p *parser) heading(line string) error {
	if err := p.finish(); err != nil {
		return err
	}
	name, ok := strings.CutSuffix(line[1:], "]")
	switch {
	case !ok || !validName.MatchString(name):
		return p.fault("%.80q is no heading like [rig1]: letters, digits, and . _ - inside", line)
	case Find(p.all, name) != nil:
		return p.fault("[%s] is there twice", name)
	}
	p.all = append(p.all, Host{name, map[string]string{}})
	return nil
}

func (p *parser) setting(line string) error {
	key, value, ok := strings.Cut(line, "=")
	key, value = strings.TrimSpace(key), strings.TrimSpace(value)
	switch {
	case !ok || value == "":
		return p.fault("%.80q is no line like: addr = rig1.example.org", line)
	case len(p.all) == 0:
		return p.fault("a heading like [rig1] comes first")
	case !slices.Contains(Keys, key):
		return p.fault("there is no key %.80q; there are: %s", key, strings.Join(Keys, " "))
	}
	values := p.all[len(p.all)-1].Values
	if _, twice := values[key]; twice {
		return p.fault("%s is there twice", key)
	}
	if slices.Contains(files, key) {
		var err error
		if value, err = p.file(value); err != nil {
			return p.fault("%s: %v", key, err)
		}
	}
	values[key] = value
	return nil
}

// file returns the path of a file that a host names.
func (p *parser) file(value string) (string, error) {
	if inner, ok := strings.CutPrefix(value, "~/"); ok {
		home, err := os.UserHomeDir()
		return filepath.Join(home, inner), err
	}
	if filepath.IsAbs(value) {
		return value, nil
	}
	return filepath.Join(filepath.Dir(p.path), value), nil
}

// finish checks the section that ends.
func (p *parser) finish() error {
	if len(p.all) == 0 {
		return nil
	}
	host := p.all[len(p.all)-1]
	has := func(key string) bool { return host.Values[key] != "" }
	switch {
	case has("ca") && has("pin"):
		return p.fault("[%s] has ca and pin, which exclude each other", host.Name)
	case has("cert") != has("key"):
		return p.fault("[%s] has one of cert and key, which go together", host.Name)
	case !has("addr"):
		host.Values["addr"] = host.Name
	}
	return nil
}

// Find returns the host with this name, or nil.
func Find(all []Host, name string) *Host {
	i := slices.IndexFunc(all, func(h Host) bool { return h.Name == name })
	if i < 0 {
		return nil
	}
	return &all[i]
}
