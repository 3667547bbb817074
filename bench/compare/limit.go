package main

import (
	"math"
	"strconv"
)

// A limit is what a ratio must keep. Its sign says which way is worse as well,
// for a ratio that is only reported.
type limit struct {
	sign  string  // "<=", "<", ">=" or ">"
	bound float64 // zero: there is none
}

func atMost(bound float64) limit  { return limit{"<=", bound} }
func below(bound float64) limit   { return limit{"<", bound} }
func atLeast(bound float64) limit { return limit{">=", bound} }
func above(bound float64) limit   { return limit{">", bound} }

// reported are ratios without a goal: of times, and of speeds.
var (
	reported      = atMost(0)
	reportedSpeed = atLeast(0)
)

func (l limit) smaller() bool { return l.sign == "<=" || l.sign == "<" }

// met is decided on what was measured, never on what is printed of it.
func (l limit) met(value float64) bool {
	switch l.sign {
	case "<=":
		return value <= l.bound
	case "<":
		return value < l.bound
	case ">=":
		return value >= l.bound
	default:
		return value > l.bound
	}
}

// print rounds against the product.
func (l limit) print(value float64) string {
	return decimal(value, 3, l.smaller())
}

// decimal rounds to so many places, up or down.
func decimal(value float64, places int, up bool) string {
	if math.IsInf(value, 0) || math.IsNaN(value) {
		return "?"
	}
	unit := math.Pow(10, float64(places))
	rounded := math.Round(value*unit) / unit
	switch {
	case up && rounded < value:
		rounded += 1 / unit
	case !up && rounded > value:
		rounded -= 1 / unit
	}
	return strconv.FormatFloat(rounded, 'f', places, 64)
}
