package telemetry

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"heddle/gen/state"
	"heddle/kernel/object"
)

var sidA = netip.MustParseAddr("2001:db8:1::a")

func count(packets uint64) object.SIDCounters {
	return object.SIDCounters{Packets: packets, Octets: 100 * packets, Errors: packets / 2}
}

func newCounters(k Kernel, file, scope string) *Counters {
	return NewCounters(CountersConfig{Kernel: k, Log: slog.New(slog.DiscardHandler), File: file, Scope: scope})
}

// counting is one SID with what its total should be.
type counting struct {
	t        *testing.T
	kernel   *kernel
	counters *Counters
}

func newCounting(t *testing.T) *counting {
	k := newKernel()
	c := &counting{t, k, newCounters(k, "", "")}
	c.counters.track(sidA)
	return c
}

func (c *counting) kernelHas(packets uint64) {
	c.kernel.set(func(k *kernel) { k.counters[sidA] = count(packets) })
}

func (c *counting) read() {
	l := c.counters.look()
	_ = c.kernel.SIDCounters(context.Background(), nil, l.take)
	l.end()
}

// sidAHas is a reading of sidA.
func sidAHas(packets uint64) []object.SIDReading {
	return []object.SIDReading{{SID: sidA, SIDCounters: count(packets)}}
}

func (c *counting) expect(packets uint64) {
	c.t.Helper()
	if got, ok := c.counters.Total(sidA); !ok || got.Packets != packets || got.Octets != 100*packets {
		c.t.Errorf("total is %+v, %t; want %d packets", got, ok, packets)
	}
}

func TestNothingIsToldBeforeItIsRead(t *testing.T) {
	c := newCounting(t)
	if _, ok := c.counters.Total(sidA); ok {
		t.Error("a total that nobody has read")
	}
	// What the kernel counted for an earlier life of the agent is in the total.
	c.kernelHas(1000)
	c.read()
	c.expect(1000)
}

// TestReplacedAndCountedFurther is what comparing readings cannot see: after the
// kernel began anew it has counted more than before.
func TestReplacedAndCountedFurther(t *testing.T) {
	c := newCounting(t)
	c.kernelHas(10)
	c.read()
	c.kernelHas(12)
	written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
	c.kernelHas(0)
	written(func(int) bool { return true })
	c.expect(12)
	c.kernelHas(50)
	c.read()
	c.expect(62)
}

func TestWriteThatFails(t *testing.T) {
	c := newCounting(t)
	c.kernelHas(10)
	written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
	written(func(int) bool { return false })
	c.kernelHas(11)
	c.read()
	c.expect(11)
}

// TestUnreadableBeforeWrite loses what was counted since the last reading, and
// nothing else.
func TestUnreadableBeforeWrite(t *testing.T) {
	c := newCounting(t)
	c.kernelHas(10)
	c.read()
	c.kernel.set(func(k *kernel) { k.fail["sids"] = errKernel; delete(k.counters, sidA) })
	written, err := c.counters.Writing(context.Background(), []netip.Addr{sidA})
	if !errors.Is(err, errKernel) || !strings.Contains(err.Error(), sidA.String()) {
		t.Errorf("the last look failed and Writing says %v", err)
	}
	c.kernel.set(func(k *kernel) { delete(k.fail, "sids") })
	c.kernelHas(0)
	written(func(int) bool { return true })
	c.kernelHas(3)
	c.read()
	c.expect(13)
}

// TestSomebodyElseReplaces: a counter that fell has begun anew.
func TestSomebodyElseReplaces(t *testing.T) {
	c := newCounting(t)
	c.kernelHas(10)
	c.read()
	c.kernelHas(4)
	c.read()
	c.expect(14)
}

func TestReadingThatIsOvertaken(t *testing.T) {
	for name, overtake := range map[string]func(c *counting, read func()){
		"begins before the write and ends in it": func(c *counting, read func()) {
			l := c.counters.look()
			written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
			l.take(sidAHas(20))
			c.kernelHas(0)
			written(func(int) bool { return true })
		},
		"begins before the write and ends after it": func(c *counting, read func()) {
			l := c.counters.look()
			written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
			c.kernelHas(0)
			written(func(int) bool { return true })
			l.take(sidAHas(20))
		},
		"begins in the write": func(c *counting, read func()) {
			written, _ := c.counters.Writing(context.Background(), []netip.Addr{sidA})
			l := c.counters.look()
			c.kernelHas(0)
			written(func(int) bool { return true })
			l.take(sidAHas(0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCounting(t)
			c.kernelHas(20)
			overtake(c, c.read)
			c.expect(20)
			c.kernelHas(5)
			c.read()
			c.expect(25)
		})
	}
}

// TestForgottenMeanwhile: a reading that began for a SID that was deleted and
// configured again is not of the new one.
func TestForgottenMeanwhile(t *testing.T) {
	c := newCounting(t)
	l := c.counters.look()
	c.counters.forget(sidA)
	c.counters.track(sidA)
	l.take(sidAHas(20))
	if got, ok := c.counters.Total(sidA); ok {
		t.Errorf("the new SID has %+v", got)
	}
}

// TestEveryPacketOnce does what can happen to a SID in any order: when all is
// read in the end, each packet has been counted once, and no total was ever less
// than the one before.
func TestEveryPacketOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := newKernel()
		dir, err := os.MkdirTemp("", "heddle-counters-")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "counters")
		c := newCounters(k, file, "")
		c.track(sidA)
		var truth, now, last uint64
		var reading *look
		var read []object.SIDReading
		var written func(func(int) bool)
		kernelHas := func(n uint64) { now = n; k.set(func(k *kernel) { k.counters[sidA] = count(n) }) }
		kernelHas(0)
		t.Repeat(map[string]func(*rapid.T){
			"traffic": func(t *rapid.T) {
				// None between the last look and the write: it would be lost.
				if written == nil {
					n := uint64(rapid.IntRange(1, 40).Draw(t, "packets")) * 2
					truth += n
					kernelHas(now + n)
				}
			},
			"begin to read": func(t *rapid.T) {
				if reading == nil {
					reading, read = c.look(), nil
					_ = k.SIDCounters(context.Background(), nil, func(r []object.SIDReading) { read = slices.Clone(r) })
				}
			},
			"end of reading": func(*rapid.T) {
				if reading != nil {
					reading.take(read)
					reading.end()
					reading = nil
				}
			},
			"begin to write": func(*rapid.T) {
				if written == nil {
					written, _ = c.Writing(context.Background(), []netip.Addr{sidA})
				}
			},
			"end of writing": func(t *rapid.T) {
				if written == nil {
					return
				}
				done := rapid.Bool().Draw(t, "done")
				if done {
					kernelHas(0)
				}
				written(func(int) bool { return done })
				written = nil
			},
			"restart": func(*rapid.T) {
				if written == nil {
					c, reading = newCounters(k, file, ""), nil
					c.track(sidA)
					c.Settle()
				}
			},
			"": func(t *rapid.T) {
				total, ok := c.Total(sidA)
				if !ok {
					return
				}
				if total.Packets < last || total.Packets > truth {
					t.Fatalf("total %d after %d, %d packets came", total.Packets, last, truth)
				}
				last = total.Packets
			},
		})
		if written != nil {
			written(func(int) bool { return false })
		}
		end := c.look()
		_ = k.SIDCounters(context.Background(), nil, end.take)
		end.end()
		if total, _ := c.Total(sidA); total != count(truth) {
			t.Fatalf("total %+v, want %+v", total, count(truth))
		}
	})
}

// TestWhatCountsIsShown: however many SIDs of how many have counted, those are
// shown anew and the others are left alone.
func TestWhatCountsIsShown(t *testing.T) {
	const n = 100
	w, _ := manySIDs(t, n)
	counters := srv6 + "/sids/sid/state/counters"
	w.refresh(counters)
	total := make([]uint64, n)
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	for round, which := range [][]int{nil, {3}, {99, 0, 50}, all, nil, {98}} {
		w.kernel.set(func(k *kernel) {
			for _, i := range which {
				total[i] += uint64(2 * (round + 1))
				k.counters[benchSID(i)] = count(total[i])
			}
		})
		before := w.tel.Snapshot()
		w.refresh(counters)
		now := w.tel.Snapshot()
		if len(which) == 0 && before != now {
			t.Errorf("round %d: a change is told of, and nothing has counted", round)
		}
		for i := range n {
			k := w.tel.schema.KeyOf(w.tel.nodes.defaultInstance, w.tel.nodes.sids, benchSID(i).String())
			old, _ := before.Get(k)
			entry, _ := now.Get(k)
			if (old != entry) != slices.Contains(which, i) {
				t.Errorf("round %d: %v is another entry: %t", round, benchSID(i), old != entry)
			}
			c := entry.(*state.NetworkInstance_SegmentRouting_Srv6_Sid).Counters
			if got := (object.SIDCounters{Packets: *c.Packets, Octets: *c.Octets, Errors: *c.Errors}); got != count(total[i]) {
				t.Errorf("round %d: %v has counted %+v, want %+v", round, benchSID(i), got, count(total[i]))
			}
		}
	}
}
