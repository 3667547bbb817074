package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/server/state"
)

// The directories of the service that the package installs. Its user, sallyport, has serviceState as its home.
const (
	serviceState = "/var/lib/sallyport"
	serviceLogs  = "/var/log/sallyport"
)

// stateDir returns the directory of --state. Without it, it is $STATE_DIRECTORY, which systemd sets for a service, or
// the home of the service's user, which runuser doesn't put into $HOME, or the default.
func stateDir(given string) (string, error) {
	switch passed := firstOf("STATE_DIRECTORY"); {
	case given != "":
		return given, nil
	case passed != "":
		return passed, nil
	case isServiceUser():
		return serviceState, nil
	}
	dir, err := state.Default()
	if err != nil {
		return "", fmt.Errorf("%w, so there is no place for the state: choose one with --state DIRECTORY", err)
	}
	return dir, nil
}

// statePaths returns the files of stateDir. The logs are in $LOGS_DIRECTORY, if systemd sets it. Commands
// of the operator find the logs of the installed service without it.
func statePaths(given string) (state.Paths, error) {
	dir, err := stateDir(given)
	paths := state.Paths{Dir: dir, Logs: firstOf("LOGS_DIRECTORY")}
	if paths.Logs == "" && filepath.Clean(dir) == serviceState && isDir(serviceLogs) {
		paths.Logs = serviceLogs
	}
	return paths, err
}

// firstOf returns the first directory of a variable of systemd.exec(5), which separates directories by colons.
func firstOf(variable string) string {
	first, _, _ := strings.Cut(os.Getenv(variable), ":")
	return first
}

// isServiceUser reports whether this process belongs to the user that the package makes.
func isServiceUser() bool {
	u, err := user.Current()
	return err == nil && u.HomeDir == serviceState
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// Names in $CREDENTIALS_DIRECTORY, see LoadCredential= in systemd.exec(5).
const (
	credentialCert = "cert.pem"
	credentialKey  = "key.pem"
)

// useCredentials sets --cert and --key from the service's credentials, if there are any and neither flag is given.
func (f *serveFlags) useCredentials() error {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	if dir == "" || f.cert != "" || f.key != "" {
		return nil
	}
	cert, key := filepath.Join(dir, credentialCert), filepath.Join(dir, credentialKey)
	switch hasCert, hasKey := exists(cert), exists(key); {
	case hasCert && hasKey:
		f.cert, f.key = cert, key
	case hasCert || hasKey:
		return usagef("the credentials %s and %s go together, and one is missing: name both with LoadCredential=", credentialCert, credentialKey)
	}
	return nil
}

// exists reports whether there is a file, also one that this process may not read: that is an error later.
func exists(file string) bool {
	_, err := os.Lstat(file)
	return !os.IsNotExist(err)
}
