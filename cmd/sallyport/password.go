package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// maxPassword bounds what is read as a password, in octets.
const maxPassword = 1024

var (
	errNoTerminal    = errors.New("no terminal to ask for the password on: use --password-stdin")
	errEmptyPassword = errors.New("an empty password is none")
	errNoPassword    = errors.New("no password was given")
)

// newPassword asks for a password twice, or takes it from standard input.
func newPassword(name string, stdin bool) (string, error) {
	if stdin {
		return readPassword(os.Stdin)
	}
	password, err := askPassword(fmt.Sprintf("New password of %s: ", printable(name)))
	if err != nil {
		return "", err
	}
	again, err := askPassword("Once more: ")
	if err == nil && again != password {
		err = errors.New("the two passwords differ, nothing was changed")
	}
	return password, err
}

// askPassword asks on the terminal. Echo is off before it asks, and Ctrl-C is
// a key like others then, which can't leave the terminal without echo.
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
	}{octetwise{os.Stdin}, os.Stderr}, "")
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

// octetwise reads not an octet more than is needed: what is typed ahead is not
// the password's.
type octetwise struct{ io.Reader }

func (o octetwise) Read(p []byte) (int, error) { return o.Reader.Read(p[:min(1, len(p))]) }

// readPassword takes the first line, and not an octet more: what follows on
// standard input may be requests.
func readPassword(r io.Reader) (string, error) {
	var line []byte
	for octet := make([]byte, 1); ; {
		_, err := io.ReadFull(r, octet)
		if errors.Is(err, io.EOF) || err == nil && octet[0] == '\n' {
			break
		}
		if err != nil {
			return "", err
		}
		if line = append(line, octet[0]); len(line) > maxPassword+1 {
			return "", fmt.Errorf("a password has at most %d octets", maxPassword)
		}
	}
	if password := strings.TrimSuffix(string(line), "\r"); password != "" {
		return password, nil
	}
	return "", errEmptyPassword
}
