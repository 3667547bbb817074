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

// askPassword asks on the terminal, without echo.
func askPassword(prompt string) (string, error) {
	in := int(os.Stdin.Fd())
	if !term.IsTerminal(in) {
		return "", errNoTerminal
	}
	fmt.Fprint(os.Stderr, prompt)
	password, err := term.ReadPassword(in)
	fmt.Fprintln(os.Stderr)
	if err == nil && len(password) == 0 {
		err = errEmptyPassword
	}
	return string(password), err
}

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
