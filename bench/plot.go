package bench

import (
	"fmt"
	"math"
	"strings"
)

// The plot has logarithmic axes: SIDs from 10^2 to 10^6, seconds from 10^-4 to
// 10^2.
const (
	plotWidth, plotHeight      = 720, 440
	plotLeft, plotTop          = 80, 30
	plotInnerWidth, plotInnerH = 600, 340
	minExp, maxExp             = 2, 6
	minSec, maxSec             = -4, 2
)

type line struct{ name, result, color, dash string }

var lines = []line{
	{"one-leaf Set, p50", "growth-leaf", "#1b6ca8", ""},
	{"Set of n SIDs", "sids-set", "#c0392b", ""},
	{"ip -6 -batch of n SIDs", "sids-ip", "#777777", ` stroke-dasharray="6 4"`},
}

func plotX(count float64) float64 {
	return plotLeft + plotInnerWidth*(math.Log10(count)-minExp)/(maxExp-minExp)
}

func plotY(seconds float64) float64 {
	return plotTop + plotInnerH*(maxSec-math.Log10(seconds))/(maxSec-minSec)
}

// Plot is the growth with the number of SIDs, in SVG.
func Plot(list []Result) string {
	f := figures(list)
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="13">`+"\n"+
		`<rect width="100%%" height="100%%" fill="white"/>`+"\n", plotWidth, plotHeight)
	for e := minExp; e <= maxExp; e++ {
		x := plotX(math.Pow10(e))
		fmt.Fprintf(&b, `<path d="M%.0f %d V%d" stroke="#ddd"/><text x="%.0f" y="%d" text-anchor="middle">%d</text>`+"\n",
			x, plotTop, plotTop+plotInnerH, x, plotTop+plotInnerH+18, int(math.Pow10(e)))
	}
	for e := minSec; e <= maxSec; e++ {
		y := plotY(math.Pow10(e))
		fmt.Fprintf(&b, `<path d="M%d %.0f H%d" stroke="#ddd"/><text x="%d" y="%.0f" text-anchor="end">%g s</text>`+"\n",
			plotLeft, y, plotLeft+plotInnerWidth, plotLeft-8, y+4, math.Pow10(e))
	}
	for i, l := range lines {
		var points []string
		for n := 100; n <= 1_000_000; n *= 10 {
			if v := f.get(l.result, n); v > 0 {
				x, y := plotX(float64(n)), plotY(v)
				points = append(points, fmt.Sprintf("%.1f,%.1f", x, y))
				fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`+"\n", x, y, l.color)
			}
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"%s/>`+"\n", strings.Join(points, " "), l.color, l.dash)
		y := plotTop + 18 + 18*i
		fmt.Fprintf(&b, `<path d="M%d %d h28" stroke="%s" stroke-width="2"%s/><text x="%d" y="%d">%s</text>`+"\n",
			plotLeft+12, y-4, l.color, l.dash, plotLeft+48, y, l.name)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">SIDs configured</text>`+"\n</svg>\n", plotLeft+plotInnerWidth/2, plotHeight-24)
	return b.String()
}
