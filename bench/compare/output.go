package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"
)

// report writes the files, and then the table to whoever runs it.
func report(out string, r results, all []goal, stdout io.Writer) error {
	made := rows(all, r)
	var table, list bytes.Buffer
	err := errors.Join(
		writeMarkdown(&table, made, machine(time.Now())),
		writeJSON(&list, made),
		os.WriteFile(filepath.Join(out, "report.md"), table.Bytes(), 0o666),
		os.WriteFile(filepath.Join(out, "report.json"), list.Bytes(), 0o666),
		drawAll(out, r))
	_, printed := stdout.Write(table.Bytes())
	return errors.Join(err, printed)
}
