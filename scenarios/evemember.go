package scenarios

import "context"

func eveMember() *member {
	return &member{
		summary: "sees every octet on the wire",
		verbs: []verb{
			{name: "saw", args: "TEXT", least: 1, most: 1, run: doSaw, summary: "these octets have crossed the wire in the clear"},
		},
	}
}

func doSaw(ctx context.Context, c *call) (string, error) {
	return "", c.stage.until(ctx, c.negated, func() (bool, error) {
		return c.stage.eve.Saw(c.args[0]), nil
	})
}
