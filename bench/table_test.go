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
