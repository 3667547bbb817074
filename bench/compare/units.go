package main

// A unit is how a side is printed.
type unit int

const (
	duration unit = iota
	allocations
	octets
	times // how many times as many
)

// print rounds against the product: what is its own up, and of the floor down,
// unless more is better.
func (u unit) print(value float64, up bool) string {
	switch u {
	case allocations:
		return decimal(value, 3, up)
	case octets:
		return decimal(value/1024, 2, up) + " KiB"
	case times:
		return decimal(1/value, 2, !up) + " ×" // of the rate
	}
	for _, step := range []struct {
		size float64
		name string
	}{{1e9, " s"}, {1e6, " ms"}, {1e3, " µs"}} {
		if value >= step.size {
			return decimal(value/step.size, 2, up) + step.name
		}
	}
	return decimal(value, 0, up) + " ns"
}
