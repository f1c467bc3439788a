package telemetry

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle/kernel/object"
)

// saved is counting with a file, in which the SID has counted 43 after a replace
// at 129.
func saved(t *testing.T) (c *counting, file string) {
	t.Helper()
	c, file = newCounting(t), filepath.Join(t.TempDir(), "counters")
	c.counters = newCounters(c.kernel, file, "boot 1")
	c.counters.track(sidA)
	c.kernelHas(129)
	c.replace()
	c.kernelHas(43)
	c.read()
	c.expect(172)
	return c, file
}

// replace has the kernel begin anew.
func (c *counting) replace() {
	written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
	c.kernelHas(0)
	written(func(int) bool { return true })
}

// restart is the next life of the agent.
func (c *counting) restart(file, scope string) {
	c.counters = newCounters(c.kernel, file, scope)
	c.counters.track(sidA)
	c.counters.Settle()
}

func TestTotalsSurviveARestart(t *testing.T) {
	c, file := saved(t)
	for range 3 {
		c.restart(file, "boot 1")
		if got, ok := c.counters.Total(sidA); ok {
			t.Errorf("a total before the kernel was read: %+v", got)
		}
		c.read()
		c.expect(172)
	}
	c.replace()
	c.kernelHas(8)
	c.restart(file, "boot 1")
	c.read()
	c.expect(180)
}

// TestFileOfAnotherLife: after a reboot, or in another namespace, the kernel has
// counted from zero.
func TestFileOfAnotherLife(t *testing.T) {
	c, file := saved(t)
	c.restart(file, "boot 2")
	c.read()
	c.expect(43)
	c.restart(file, "boot 1")
	c.read()
	c.expect(43)
}

func TestDeletedSIDStartsFromZero(t *testing.T) {
	c, file := saved(t)
	c.replace() // the delete
	c.counters.forget(sidA)
	c.counters.flush()
	c.restart(file, "boot 1")
	c.kernelHas(2)
	c.read()
	c.expect(2)
}

// TestEndedInADelete: the agent ended between the delete and the note of it, and
// the SID is not configured.
func TestEndedInADelete(t *testing.T) {
	c, file := saved(t)
	c.counters = newCounters(c.kernel, file, "boot 1")
	c.counters.Settle()
	c.restart(file, "boot 1")
	c.kernelHas(2)
	c.read()
	c.expect(2)
}

func TestDamagedFile(t *testing.T) {
	for name, damage := range map[string]struct {
		to    func(doc []byte) []byte
		total uint64
		says  string
	}{
		"last line torn":     {func(d []byte) []byte { return append(d, `{"sid":"2001:db8:1::a","pack`...) }, 172, ""},
		"a line is no line":  {func(d []byte) []byte { return append(d, "}\n"+`{"sid":"2001:db8:1::a","packets":1}`+"\n"...) }, 172, "line 3"},
		"first line torn":    {func(d []byte) []byte { return d[:10] }, 43, ""},
		"no header":          {func(d []byte) []byte { return []byte("\n") }, 43, "line 1"},
		"empty":              {func(d []byte) []byte { return nil }, 43, ""},
		"of another version": {func(d []byte) []byte { return bytes.Replace(d, []byte(`"version":1`), []byte(`"version":2`), 1) }, 43, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c, file := saved(t)
			doc, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, damage.to(doc), 0o600); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			c.counters = NewCounters(CountersConfig{Kernel: c.kernel, Log: slog.New(slog.NewTextHandler(&log, nil)), File: file, Scope: "boot 1"})
			c.counters.track(sidA)
			c.read()
			c.expect(damage.total)
			if !strings.Contains(log.String(), damage.says) || (damage.says == "") != (log.Len() == 0) {
				t.Errorf("logged %q, want %q in it", log.String(), damage.says)
			}
			// The next change mends it.
			c.replace()
			c.restart(file, "boot 1")
			c.read()
			c.expect(damage.total)
		})
	}
}

// TestUnwritable: counting goes on, and what could not be written is written with
// the next change.
func TestUnwritable(t *testing.T) {
	c, file := saved(t)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	c.replace() // there is nothing to append to
	c.kernelHas(5)
	c.read()
	c.expect(177)
	c.replace()
	c.restart(file, "boot 1")
	c.read()
	c.expect(177)
}

// TestFileFollowsTheChange: a commit appends as many lines as it replaces SIDs,
// and the file stays short however long the agent lives.
func TestFileFollowsTheChange(t *testing.T) {
	k := newKernel()
	file := filepath.Join(t.TempDir(), "counters")
	c := newCounters(k, file, "")
	var sids []netip.Addr
	for i := range 100 {
		sid := netip.MustParseAddr(fmt.Sprintf("2001:db8:2::%x", i+1))
		sids = append(sids, sid)
		c.track(sid)
	}
	lines := func() int {
		t.Helper()
		doc, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Count(doc, []byte("\n"))
	}
	replace := func(sids []netip.Addr) {
		k.set(func(k *kernel) {
			for _, s := range sids {
				k.counters[s] = object.SIDCounters{Packets: 1}
			}
		})
		written, _ := c.Writing(context.Background(), sids)
		written(func(int) bool { return true })
	}
	replace(sids)
	before := lines()
	replace(sids[:3])
	if got := lines() - before; got != 3 {
		t.Errorf("%d lines for 3 SIDs", got)
	}
	most := 0
	for range 40 {
		replace(sids)
		most = max(most, lines())
	}
	if limit := spareLines + 5*len(sids) + 1; most > limit {
		t.Errorf("the file had %d lines, %d is the most", most, limit)
	}
	c = newCounters(k, file, "")
	base := func(i int) uint64 { return c.baseOf(c.sids.get(sids[i])).Packets }
	if base(0) != 42 || base(99) != 41 {
		t.Errorf("read %d, %d", base(0), base(99))
	}
}
