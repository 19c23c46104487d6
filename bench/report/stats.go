package report

import (
	"math"
	"slices"
)

// Median returns the median of values, NaN of none.
func Median(values []float64) float64 { return Quantile(values, 0.5) }

// Quantile returns the q-quantile of values, between two of them where it falls
// there, NaN of none.
func Quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	s := slices.Clone(values)
	slices.Sort(s)
	at := q * float64(len(s)-1)
	i := int(at)
	if i+1 >= len(s) {
		return s[len(s)-1]
	}
	return s[i] + (at-float64(i))*(s[i+1]-s[i])
}

// Spread returns the distance between the quartiles to the median; false for fewer
// than three values.
func Spread(values []float64) (float64, bool) {
	m := Median(values)
	if len(values) < 3 || m == 0 {
		return 0, false
	}
	return (Quantile(values, 0.75) - Quantile(values, 0.25)) / m, true
}
