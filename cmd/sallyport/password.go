package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"golang.org/x/term"

	"github.com/sallyport/sallyport/server/audit/show"
)

// maxPassword bounds a password that is read, in bytes.
const maxPassword = 1024

var (
	errNoTerminal    = errors.New("no terminal to ask for the password on")
	errEmptyPassword = errors.New("the password is empty: it needs at least one character")
	errNoPassword    = errors.New("no password was given")
)

// newPassword asks for a password twice, or takes it from standard input.
func newPassword(name string, stdin bool) (string, error) {
	if stdin {
		return readPassword(os.Stdin)
	}
	password, err := askPassword(fmt.Sprintf("New password of %s: ", show.Printable(name)))
	switch {
	case errors.Is(err, errNoTerminal):
		return "", fmt.Errorf("%w: use --password-stdin", err)
	case err != nil:
		return "", err
	}
	again, err := askPassword("Once more: ")
	if err == nil && again != password {
		err = errors.New("the two passwords differ: nothing was changed")
	}
	return password, err
}

// askPassword asks on the terminal. Echo is off before it asks. Ctrl-C is then an
// ordinary key, and can't leave the terminal without echo.
func askPassword(prompt string) (string, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", errNoTerminal
	}
	restore, err := makeRaw(in, false)
	if err != nil {
		return "", err
	}
	defer restore()
	terminal := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{bytewise{os.Stdin}, os.Stderr}, "")
	password, err := terminal.ReadPassword(prompt)
	switch {
	case errors.Is(err, io.EOF):
		fmt.Fprint(os.Stderr, "\r\n")
		err = errNoPassword
	case err == nil && password == "":
		err = errEmptyPassword
	}
	return password, err
}

// bytewise reads one byte at a time, so that what follows the password stays unread.
type bytewise struct{ io.Reader }

func (b bytewise) Read(p []byte) (int, error) { return b.Reader.Read(p[:min(1, len(p))]) }

// readPassword reads the first line, and no byte more: requests may follow on standard input.
func readPassword(r io.Reader) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		_, err := io.ReadFull(r, b)
		if errors.Is(err, io.EOF) || err == nil && b[0] == '\n' {
			break
		}
		if err != nil {
			return "", err
		}
		if line = append(line, b[0]); len(line) > maxPassword+1 {
			return "", fmt.Errorf("the password is too long: it may have %d bytes", maxPassword)
		}
	}
	if password := strings.TrimSuffix(string(line), "\r"); password != "" {
		return password, nil
	}
	return "", errEmptyPassword
}

// givenPassword returns the password of --password-stdin or --password-file, or "" without them.
func givenPassword(stdin bool, name string) (string, error) {
	switch {
	case stdin && name != "":
		return "", usagef("--password-file and --password-stdin exclude each other")
	case stdin:
		return readPassword(os.Stdin)
	case name == "":
		return "", nil
	}
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	warnReadable(file)
	return readPassword(file)
}

// warnReadable warns of a regular file with passwords that others can read or change. Windows has no such mode.
func warnReadable(file *os.File) {
	info, err := file.Stat()
	if err != nil || runtime.GOOS == "windows" || !info.Mode().IsRegular() || info.Mode().Perm()&0o077 == 0 {
		return
	}
	fmt.Fprintf(os.Stderr, "warning: others can read or change %s (mode %04o): chmod 600 it\n", show.Printable(file.Name()), info.Mode().Perm())
}
