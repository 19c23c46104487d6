package report

import (
	"math"
	"strconv"
)

// Figure writes a figure with its unit for people: three digits, and a larger unit
// where that is shorter.
func Figure(v float64, unit string) string {
	switch unit {
	case "ns":
		switch {
		case v >= 999.5e6:
			return digits(v/1e9) + " s"
		case v >= 999.5e3:
			return digits(v/1e6) + " ms"
		case v >= 9995:
			return digits(v/1e3) + " µs"
		}
		return digits(v) + " ns"
	case "µs":
		switch {
		case v >= 999.5e3:
			return digits(v/1e6) + " s"
		case v >= 999.5:
			return digits(v/1e3) + " ms"
		}
		return digits(v) + " µs"
	case "ms":
		if v >= 9995 {
			return digits(v/1e3) + " s"
		}
		return digits(v) + " ms"
	case "":
		return digits(v)
	}
	return digits(v) + " " + unit
}

// digits writes three digits and groups thousands.
func digits(v float64) string {
	a := math.Abs(v)
	switch {
	case v == 0:
		return "0"
	case a < 0.01:
		return strconv.FormatFloat(v, 'g', 2, 64)
	case a < 9.995 && v != math.Round(v):
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a < 99.95 && v != math.Round(v):
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	if a >= 10_000 { // the rest is noise
		step := math.Pow(10, math.Floor(math.Log10(a))-2)
		v = math.Round(v/step) * step
	}
	s := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Times writes a ratio; one far below 1 as a fraction.
func Times(v float64) string {
	switch {
	case v >= 99.5:
		return digits(v) + "×"
	case v >= 9.95:
		return strconv.FormatFloat(v, 'f', 1, 64) + "×"
	case v >= 0.0995:
		return strconv.FormatFloat(v, 'f', 2, 64) + "×"
	}
	if v <= 0 {
		return "0×"
	}
	return "1/" + digits(math.Round(1/v)) + "×"
}
