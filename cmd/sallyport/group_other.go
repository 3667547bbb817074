//go:build !unix

package main

import "os/exec"

func ownGroup(*exec.Cmd) {}

// terminate kills a command: this system has no SIGTERM.
func terminate(cmd *exec.Cmd) error { return cmd.Process.Kill() }
