package bench

import (
	"fmt"
	"strings"
)

// proxyTraffic is what is sent by way of an NF: of UDP the octets of the payload.
var proxyTraffic = []string{"TCP IPv4", "TCP IPv6", "UDP IPv4 64", "UDP IPv4 1300", "UDP IPv6 64", "UDP IPv6 1300"}

// The ways that the traffic goes, by the names of their results, and what they are.
var (
	proxyPlain   = "plain"
	proxyKernel  = "kernel"
	proxyColumns = []struct{ way, title string }{
		{proxyPlain, "plain, through the NF"}, {"chain", "H.Encaps, End, End.DX, no NF"}, {proxyKernel, "End.DX, rule, H.Encaps through the NF"},
		{"ad", "`END_AD`"}, {"as", "`END_AS`"}, {"am", "`END_AM`"},
		{"l2", "`END_AD`, Ethernet inside"},
	}
	proxyOurs = []string{"ad", "as", "am"}
)

// proxyResult names what arrived by a way, proxyCost what a program took for a packet:
// the one before the NF, the one behind it.
func proxyResult(way, traffic string, offloads bool) string {
	name := "proxy-" + way + "-" + dashed(traffic)
	if offloads {
		return name
	}
	return name + "-offloads-off"
}

// proxyWork names what arrived by a way for each second of processor time.
func proxyWork(result string) string { return result + "-work" }

func dashed(traffic string) string { return strings.ReplaceAll(strings.ToLower(traffic), " ", "-") }

func proxyCost(program int, way, traffic string) string {
	return "proxy-cost-" + [...]string{"to-nf", "back"}[program] + "-" + way + "-" + dashed(traffic)
}

// ratio is the median of the ratios of two results, round by round.
func (f figures) ratio(name, to string) float64 {
	a, _ := f.find(name, 0)
	b, _ := f.find(to, 0)
	var list []float64
	for i := range min(len(a.Samples), len(b.Samples)) {
		list = append(list, a.Samples[i]/max(b.Samples[i], 1e-9))
	}
	return Median(list)
}

// proxyGoal compares our proxies with another way, for TCP of both families: what
// arrives, and what arrives for each second of processor time.
func proxyGoal(what string, offloads bool, to, text string, want float64) goal {
	probe := proxyResult("ad", proxyTraffic[0], offloads)
	return goal{what, text, []string{probe}, func(f figures) (string, string, bool) {
		var arrives, work []string
		ok := true
		for _, way := range proxyOurs {
			for _, traffic := range proxyTraffic[:2] {
				if way == "am" && traffic != "TCP IPv6" {
					continue
				}
				result, peer := proxyResult(way, traffic, offloads), proxyResult(to, traffic, offloads)
				v := f.ratio(result, peer)
				ok = ok && v >= want
				arrives = append(arrives, fmt.Sprintf("%.2fx `END_%s` %s", v, strings.ToUpper(way), strings.TrimPrefix(traffic, "TCP ")))
				work = append(work, fmt.Sprintf("%.2fx", f.ratio(proxyWork(result), proxyWork(peer))))
			}
		}
		return strings.Join(arrives, ", "), "for the same processor time: " + strings.Join(work, ", "), ok
	}}
}

var proxyGoals = []goal{
	proxyGoal("SR proxies, TCP with offloads, against a static proxy of the kernel's parts", true, proxyKernel, ">= 0.95x", 0.95),
	proxyGoal("the same against plain forwarding through the NF", true, proxyPlain, ">= 0.9x", 0.9),
	proxyGoal("the same without offloads, against the kernel's parts", false, proxyKernel, ">= 1x", 1),
}

// proxies is the table of what arrives by each way, and of what the programs take.
func (f figures) proxies() string {
	if _, ok := f.find(proxyResult(proxyPlain, proxyTraffic[0], true), 0); !ok {
		return ""
	}
	var b strings.Builder
	b.WriteString("| SR proxies: traffic | Offloads |")
	for _, c := range proxyColumns {
		b.WriteString(" " + c.title + " |")
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(proxyColumns)) + "\n")
	for _, offloads := range []bool{true, false} {
		for _, traffic := range proxyTraffic {
			fmt.Fprintf(&b, "| %s | %s |", traffic, map[bool]string{true: "on", false: "off"}[offloads])
			for _, c := range proxyColumns {
				b.WriteString(f.proxyCell(c.way, traffic, offloads))
			}
			b.WriteString("\n")
		}
	}
	b.WriteString("\n| Time of our programs for a packet, before the NF and behind it |")
	for _, way := range proxyOurs {
		b.WriteString(" `END_" + strings.ToUpper(way) + "` |")
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(proxyOurs)) + "\n")
	for _, traffic := range proxyTraffic {
		fmt.Fprintf(&b, "| %s |", traffic)
		for _, way := range proxyOurs {
			if _, measured := f.find(proxyCost(0, way, traffic), 0); measured {
				fmt.Fprintf(&b, " %.0f ns, %.0f ns", f.get(proxyCost(0, way, traffic), 0), f.get(proxyCost(1, way, traffic), 0))
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// proxyCell is a rate, and of our proxies what it is of the kernel's.
func (f figures) proxyCell(way, traffic string, offloads bool) string {
	name := proxyResult(way, traffic, offloads)
	r, ok := f.find(name, 0)
	if !ok {
		return " |"
	}
	cell := fmt.Sprintf("%.0f %s", r.Median(), r.Unit)
	if r.Unit == "packets/s" {
		cell = fmt.Sprintf("%.0fk packets/s", r.Median()/1000)
	}
	if way != proxyPlain && way != proxyKernel && way != "chain" {
		cell += fmt.Sprintf(" (%.2fx, %.2fx)", f.ratio(name, proxyResult(proxyKernel, traffic, offloads)), f.ratio(name, proxyResult(proxyPlain, traffic, offloads)))
	}
	return " " + cell + " |"
}
