package report

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"os"
	"path/filepath"
)

// logFrom is the ratio from which on a chart's scale is logarithmic.
const logFrom = 20

// Sizes of a chart in pixels.
const (
	chartWidth = 960
	labelWidth = 390
	barsWidth  = 340
	rowHeight  = 22
	chartTop   = 64
	chartFoot  = 42
)

// bar is one row of a chart.
type bar struct {
	label, value string
	ratio        float64
	wide         bool
}

// WriteCharts writes one SVG file for each group that has something to compare into
// the folder, named after the group, and returns their names.
func WriteCharts(dir string, r *Run) ([]string, error) {
	var names []string
	for _, group := range Groups(r.Rows) {
		bars, against := bars(r.Rows, group)
		if len(bars) == 0 {
			continue
		}
		name := slug(group) + ".svg"
		f, err := os.Create(filepath.Join(dir, name)) //nolint:gosec // where the user asked for it
		if err != nil {
			return names, err
		}
		if err := cmp.Or(writeChart(f, group, against, bars), f.Close()); err != nil {
			return names, err
		}
		names = append(names, name)
	}
	return names, nil
}

// bars returns the bars of a group, and what they are compared with: the best peer or,
// in a group without peers, the limit.
func bars(rows []*Row, group string) (list []bar, against string) {
	workloads := map[string]bool{}
	for _, r := range rows {
		if r.Group == group {
			workloads[r.Workload] = true
		}
	}
	for _, limit := range []bool{false, true} {
		for _, r := range rows {
			ratio, than := r.RatioBestPeer, r.BestPeer
			if limit {
				ratio, than = r.RatioLimit, r.LimitName
			}
			if r.Group != group || ratio == nil || *ratio <= 0 {
				continue
			}
			label := r.Name
			if len(workloads) > 1 {
				label = r.Workload + ": " + label
			}
			list = append(list, bar{
				label: label, ratio: *ratio, wide: r.Wide(),
				value: fmt.Sprintf("%s %s, %s", Times(*ratio), than, Figure(*r.Ours, r.Unit)),
			})
		}
		if len(list) > 0 {
			if limit {
				return list, "the limit of the hardware"
			}
			return list, "the best peer"
		}
	}
	return nil, ""
}

// axis places ratios.
type axis struct {
	log    bool
	lo, hi float64 // ratios at the ends; of a logarithmic axis their logarithms
}

func newAxis(bars []bar) axis {
	lo, hi := 1.0, 1.0
	for _, b := range bars {
		lo, hi = math.Min(lo, b.ratio), math.Max(hi, b.ratio)
	}
	if hi > logFrom || lo < 1.0/logFrom {
		return axis{log: true, lo: math.Floor(math.Log10(lo)), hi: math.Ceil(math.Log10(math.Max(hi, 1.01)))}
	}
	return axis{lo: 0, hi: math.Max(2, math.Ceil(hi))}
}

func (a axis) x(ratio float64) float64 {
	if a.log {
		ratio = math.Log10(ratio)
	}
	return labelWidth + barsWidth*(ratio-a.lo)/(a.hi-a.lo)
}

// ticks are the ratios that are marked.
func (a axis) ticks() []float64 {
	var t []float64
	if a.log {
		step := math.Ceil((a.hi - a.lo) / 5)
		for e := math.Ceil(a.lo/step) * step; e <= a.hi; e += step { // 1 is always one of them
			t = append(t, math.Pow(10, e))
		}
		return t
	}
	step := math.Max(1, math.Ceil(a.hi/6))
	t = append(t, 1)
	for v := step; v <= a.hi; v += step {
		if v > 1 {
			t = append(t, v)
		}
	}
	return t
}

// The colours are readable on white and on near black.
const style = `<style>
text{font:12px -apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#6e7781}
.title{font-size:15px;font-weight:600}
.grid{stroke:#8b949e;stroke-opacity:.35}
.one{stroke:#6e7781;stroke-width:1.5}
.ahead{fill:#2da44e}.behind{fill:#d1622b}.wide{fill-opacity:.45}
@media(prefers-color-scheme:light){text{fill:#424a53}}
@media(prefers-color-scheme:dark){text{fill:#adbac7}.one{stroke:#adbac7}}
</style>
`

// writeChart writes one chart: a bar for each row that goes from 1 to its ratio.
func writeChart(w io.Writer, group, against string, bars []bar) error {
	out := &sink{w: w}
	a := newAxis(bars)
	height := chartTop + rowHeight*len(bars) + chartFoot
	out.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">`+"\n", chartWidth, height, chartWidth, height)
	out.printf("<title>%s: ours to %s</title>\n%s", html.EscapeString(group), against, style)
	out.printf(`<text class="title" x="8" y="22">%s</text>`+"\n", html.EscapeString(group))
	scale := "linear scale"
	if a.log {
		scale = "logarithmic scale"
	}
	out.printf(`<text x="8" y="42">times better than %s; right of 1 ours is ahead (%s)</text>`+"\n", against, scale)
	bottom := chartTop + rowHeight*len(bars)
	for _, t := range a.ticks() {
		class := "grid"
		if t == 1 {
			class = "one"
		}
		out.printf(`<line class="%s" x1="%.1f" x2="%.1f" y1="%d" y2="%d"/>`+"\n", class, a.x(t), a.x(t), chartTop-6, bottom+4)
		out.printf(`<text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n", a.x(t), bottom+20, tick(t))
	}
	for i, b := range bars {
		y := chartTop + i*rowHeight
		class := "ahead"
		if b.ratio < 1 {
			class = "behind"
		}
		if b.wide {
			class += " wide"
		}
		from, to := a.x(1), a.x(b.ratio)
		if from > to {
			from, to = to, from
		}
		out.printf(`<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-8, y+14, html.EscapeString(shorten(b.label, 62)))
		out.printf(`<rect class="%s" x="%.1f" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n", class, from, y+3, math.Max(1, to-from), rowHeight-8)
		out.printf(`<text x="%d" y="%d">%s</text>`+"\n", labelWidth+barsWidth+10, y+14, html.EscapeString(shorten(b.value, 36)))
	}
	for _, b := range bars {
		if b.wide {
			out.printf(`<text x="8" y="%d">pale: the repetitions of this row differ widely</text>`+"\n", height-6)
			break
		}
	}
	out.printf("</svg>\n")
	return out.err
}

// tick writes a ratio that is marked.
func tick(t float64) string {
	if t < 1 {
		return "1/" + digits(math.Round(1/t))
	}
	return digits(math.Round(t)) + "×"
}

func shorten(s string, n int) string {
	if width(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}
