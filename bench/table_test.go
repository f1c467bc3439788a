package bench

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results")
	for _, r := range []Result{
		{Name: "leaf-set", Count: 100, Unit: "s", Samples: []float64{3e-4, 1e-4, 2e-4}},
		{Name: "leaf-set", Count: large, Unit: "s", Samples: []float64{2.2e-4}},
		{Name: "start-in-place", Count: large, Unit: "s", Samples: []float64{0.5}},
		{Name: "start-in-place-writes", Count: large, Unit: "writes", Samples: []float64{0, 0, 1}},
		{Name: "growth-leaf", Count: 1000, Unit: "s", Samples: []float64{2e-4}},
		{Name: "sids-set", Count: 1000, Unit: "s", Samples: []float64{0.01}},
		{Name: "sids-ip", Count: 1000, Unit: "s", Samples: []float64{0.02}},
		{Name: proxyResult("plain", "TCP IPv4", true), Unit: "Mb/s", Samples: []float64{1000, 2000, 3000}},
		{Name: proxyResult("kernel", "TCP IPv4", true), Unit: "Mb/s", Samples: []float64{1000, 1000, 1000}},
		{Name: proxyResult("ad", "TCP IPv4", true), Unit: "Mb/s", Samples: []float64{1000, 1900, 990}},
		{Name: proxyCost(0, "ad", "TCP IPv4"), Unit: "ns", Samples: []float64{321}},
	} {
		if err := Append(file, r); err != nil {
			t.Fatal(err)
		}
	}
	list, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	page, err := Insert("before\n"+Begin+"\nold\n"+End+"\nafter\n", list)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"before\n", "\nafter\n", "| 1.10x (220 us, 200 us) |  | met |", "| 500 ms, 1 writes |  | **missed** |",
		"| 1000 | 200 us | 10 ms | 20 ms |", "| start with 100,000 SIDs saved, empty kernel | <= 1.5 s | not measured |",
		"| TCP IPv4 | on | 2000 Mb/s | | 1000 Mb/s | 1000 Mb/s (1.00x, 0.95x) | | | |", "1.00x `END_AD` IPv4, ", "| TCP IPv4 | 321 ns, 0 ns | | |",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
	if strings.Contains(page, "old") {
		t.Error("the figures of before are still there")
	}
	if n := strings.Count(Plot(list), "<circle"); n != 3 {
		t.Errorf("the plot has %d points, want 3", n)
	}
	if _, err := Insert("a page without marks", list); err == nil {
		t.Error("a page without marks was taken")
	}
}
