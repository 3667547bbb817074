// Package peers holds what Sallyport is compared with: servers and libraries
// that others made, which do what it does.
package peers

import "github.com/sallyport/sallyport/bench"

// Groups are the product and its peers, side by side.
func Groups() []bench.Group { return nil }
