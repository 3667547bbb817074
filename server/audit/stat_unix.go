//go:build unix && !(linux && (amd64 || arm64))

package audit

import "syscall"

func (p *place) stat() error { return syscall.Stat(p.name, &p.seen) }
