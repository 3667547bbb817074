package web

import (
	"context"
	"os"
	"time"

	"github.com/sallyport/sallyport/scenarios"
)

// play runs what the page is about: a scenario for each way to end, in all its
// combinations, with the things in them that are hard to show.
func play(ctx context.Context) ([]scenarios.Result, error) {
	all, err := scenarios.Load(os.DirFS("stories"))
	if err != nil {
		return nil, err
	}
	var results []scenarios.Result
	for _, s := range all {
		for _, c := range s.Matrix {
			results = append(results, scenarios.Run(ctx, s, c, &scenarios.Target{Timeout: 2 * time.Second}))
		}
	}
	return results, nil
}
