package scenarios

import (
	"context"
	"errors"
	"os"
	"path/filepath"
)

func eveMember() *member {
	return &member{
		summary: "sees every octet on the wire",
		verbs: []verb{
			{name: "pcap", args: "FILE", least: 1, most: 1, run: doPcap, summary: "write what she has seen so far, and the keys that decrypt it, as a pcapng file for Wireshark, into the scenario's folder (see --keep)"},
			{name: "saw", args: "TEXT", least: 1, most: 1, check: true, run: doSaw, summary: "these octets have crossed the wire in the clear"},
		},
	}
}

func doSaw(ctx context.Context, c *call) (string, error) {
	return "", c.stage.until(ctx, c.negated, func() (bool, error) {
		return c.stage.eve.Saw(c.args[0]), nil
	})
}

func doPcap(_ context.Context, c *call) (string, error) {
	name := c.args[0]
	if name != filepath.Base(name) {
		return "", outsideError(name)
	}
	file, err := os.OpenFile(filepath.Join(c.stage.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	return "", errors.Join(c.stage.eve.WritePcap(file, c.stage.keyLog.Bytes()), file.Close())
}
