package main

import (
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/sallyport/sallyport/server/audit/show"
)

// The files that --init writes.
var (
	//go:embed starter/README.md
	starterReadme string
	//go:embed starter/first.txtar
	starterScenario string
	//go:embed starter/users
	starterUsers string
)

// initScenarios writes a first scenario, a users file and a README.
func initScenarios(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	switch {
	case err != nil:
		return err
	case len(entries) > 0:
		return fmt.Errorf("%s: the directory is not empty (it has %q): nothing was written", fileName(dir), entries[0].Name())
	}
	command := quoteArg(os.Args[0])
	readme := strings.NewReplacer("{sallyport}", command, "{dir}", quoteArg(dir),
		"{users}", quoteArg(filepath.Join(dir, "users"))).Replace(starterReadme)
	users := strings.ReplaceAll(starterUsers, "{sallyport}", command)
	for strings.Contains(users, "{password}") {
		users = strings.Replace(users, "{password}", rand.Text(), 1)
	}
	if err := errors.Join(
		writeNew(filepath.Join(dir, "first.txtar"), starterScenario, 0o644),
		writeNew(filepath.Join(dir, "users"), users, 0o600),
		writeNew(filepath.Join(dir, "README.md"), readme, 0o644),
	); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "wrote first.txtar, users and README.md in %s; next: %s replay %s\n", show.Printable(dir), command, quoteArg(dir))
	return nil
}

// writeNew writes a file that must not exist.
func writeNew(name, text string, mode fs.FileMode) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Close())
}
