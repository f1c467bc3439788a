package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	old = "gNMI 0.10.0\nkernel 6.1.0 takes and keeps:\n  yes  End\n  no   End.X with an outgoing link: accepted, but dropped: the link: use Linux 6.17 or later\n  yes  H.Encaps on IPv4 routes\n  yes  H.Encaps on IPv6 routes\n  yes  vrf links\n"
	now = "kernel 7.2.0 takes and keeps:\n  yes  End\n  yes  End.X with an outgoing link\n  yes  H.Encaps on IPv4 routes\n  yes  H.Encaps on IPv6 routes\n  yes  vrf links\n  no   insertion: refused: no\n"
)

// TestTable writes a table, finds it right, and finds what differs.
func TestTable(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	page := file("page.md", "before\n"+begin+end+"after\n")
	readme := file("readme.md", "first\n"+begin+end+"last\n")
	a, b := "6.1="+file("a", old), "7.x="+file("b", now)
	if err := run(page, "", []string{a}, false); err == nil {
		t.Error("an empty table is found right")
	}
	for _, sources := range [][]string{{a}, {b}, {a, b}, {b, a}} {
		if err := run(page, readme, sources, true); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + begin + `
| Feature | 6.1 | 7.x | To have it |
|---|---|---|---|
| End | yes | yes | - |
| End.X with an outgoing link | no | yes | use Linux 6.17 or later |
| H.Encaps on IPv4 routes | yes | yes | - |
| H.Encaps on IPv6 routes | yes | yes | - |
| vrf links | yes | yes | - |
| insertion | - | no | no |

` + end + "after\n"
	if string(text) != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
	text, err = os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	want = "first\n" + begin + `
- SIDs: End
- Headend: H.Encaps
- Links: vrf

| Not on each kernel | 6.1 | 7.x |
|---|---|---|
| End.X with an outgoing link | no | yes |
| insertion | - | no |

` + end + "last\n"
	if string(text) != want {
		t.Errorf("got:\n%s\nwant:\n%s", text, want)
	}
	if err := run(page, readme, []string{a, b}, false); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(readme, []byte("first\n"+begin+end+"last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run(page, readme, []string{a, b}, false); err == nil {
		t.Error("a summary that says nothing is found right")
	}
	if err := run(page, readme, []string{"6.1=" + file("c", strings.Replace(old, "yes  End", "no   End: x: y", 1))}, false); err == nil {
		t.Error("a kernel that lost End is not noticed")
	}
	for _, bad := range []string{"", "kernel x takes and keeps:\n", "kernel x takes and keeps:\nnothing\n"} {
		if err := run(page, readme, []string{"6.1=" + file("d", bad)}, true); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
