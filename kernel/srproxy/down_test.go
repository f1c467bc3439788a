package srproxy

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

// mode has a proxy do something else with packets.
func (b *bench) mode(p *object.Proxy, m object.ProxyMode) {
	b.t.Helper()
	p.Mode = m
	if err := b.code.write(p, loopback, 0); err != nil {
		b.t.Fatal(err)
	}
}

// TestDown: packets for an NF that is down go on to their next segment, or are dropped,
// and what it has kept is there when it is back.
func TestDown(t *testing.T) {
	b := newBench(t)
	noSRH := ethernet(unix.ETH_P_IPV6).ipv6(from, as4, 4, 9, inner4(9))
	tests := map[string]struct {
		proxy *object.Proxy
		mode  object.ProxyMode
		in    packet
		ret   uint32
		count object.ProxyCounters
	}{
		"bypass":           {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, srh(4, 1, inner4(9), ad4, next)), passed, object.ProxyCounters{Bypassed: 1}},
		"bypass, last":     {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, srh(4, 0, inner4(9), ad4)), dropped, object.ProxyCounters{SegmentsLeftZero: 1}},
		"bypass, static":   {fixed(as4), object.ProxyBypass, outer(as4, 9, srh(4, 1, inner4(9), as4, next)), passed, object.ProxyCounters{Bypassed: 1}},
		"bypass, end":      {fixed(as4), object.ProxyBypass, outer(as4, 9, srh(4, 0, inner4(9), as4)), dropped, object.ProxyCounters{SegmentsLeftZero: 1}},
		"bypass, no srh":   {fixed(as4), object.ProxyBypass, noSRH, dropped, object.ProxyCounters{NoSRH: 1}},
		"bypass, TLV":      {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, append(srh(4, 1, inner4(9), ad4, next)[:1:1], append([]byte{5}, srh(4, 1, inner4(9), ad4, next)[2:]...)...)), dropped, object.ProxyCounters{BadSRH: 1}},
		"drop":             {dynamic(ad4, object.InnerIPv4), object.ProxyDrop, outer(ad4, 9, srh(4, 1, inner4(9), ad4, next)), dropped, object.ProxyCounters{NFDown: 1}},
		"drop, no srh":     {fixed(as4), object.ProxyDrop, noSRH, dropped, object.ProxyCounters{NFDown: 1}},
		"drop, hop limit":  {dynamic(ad4, object.InnerIPv4), object.ProxyDrop, outer(ad4, 1, srh(4, 1, inner4(9), ad4, next)), passed, object.ProxyCounters{Expired: 1}},
		"bypass, 2 segs":   {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, srh(4, 2, inner4(9), ad4, next, as4)), passed, object.ProxyCounters{Bypassed: 1}},
		"bypass, 16 segs":  {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, srh(4, 15, inner4(9), append([]netip.Addr{ad4}, slices.Repeat([]netip.Addr{next}, 15)...)...)), passed, object.ProxyCounters{Bypassed: 1}},
		"bypass, the same": {dynamic(ad4, object.InnerIPv4), object.ProxyBypass, outer(ad4, 9, srh(4, 15, inner4(9), slices.Repeat([]netip.Addr{ad4}, 16)...)), dropped, object.ProxyCounters{Bypassed: 15, SegmentsLeftZero: 1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b.add(tt.proxy)
			b.mode(tt.proxy, tt.mode)
			ret, out := b.run(b.code.toNF, tt.in)
			if ret != tt.ret {
				t.Errorf("returns %d, want %d", int32(ret), int32(tt.ret))
			}
			if got := b.reading(tt.proxy.SID).Counters; got != tt.count {
				t.Errorf("counts %+v, want %+v", got, tt.count)
			}
			if tt.count.Bypassed != 1 {
				return
			}
			want := bytes.Clone(tt.in) // as End makes it
			want[14+40+3]--
			copy(want[14+24:], next.AsSlice())
			if !bytes.Equal(out, want) {
				t.Errorf("becomes\n%x, want\n%x", out, want)
			}
		})
	}
}

// TestBackAgain: what was kept before an NF went down is there when it is back, and
// what was on its way while it was switched off gets its headers.
func TestBackAgain(t *testing.T) {
	ad := dynamic(ad4, object.InnerIPv4)
	b := newBench(t).add(ad)
	sent := outer(ad4, 44, srh(4, 1, inner4(9), ad4, next))
	b.run(b.code.toNF, sent)
	in := append(ethernet(unix.ETH_P_IP), inner4(9)...)
	for _, m := range []object.ProxyMode{object.ProxyBypass, object.ProxyDrop, object.ProxyToNF} {
		b.mode(ad, m)
		ret, out := b.run(b.code.back, in)
		if ret != passed {
			t.Fatalf("in mode %s what comes back meets %d", m, int32(ret))
		}
		checkReturned(t, out, in, 4, 44, []netip.Addr{ad4, next}, 0)
	}
	b.run(b.code.toNF, sent)
	if got := b.reading(ad4); got.Changes != 1 || got.Counters != (object.ProxyCounters{Forwarded: 2, Returned: 3, CacheUpdates: 1}) {
		t.Errorf("after it is back: %+v", got)
	}
}

// TestStandby: the headers are kept for the link on which the other NF gives packets
// back, and those of before stay for what is still on its way.
func TestStandby(t *testing.T) {
	const elsewhere = loopback + 1
	ad := dynamic(ad4, object.InnerIPv4)
	b := newBench(t).add(ad)
	b.run(b.code.toNF, outer(ad4, 44, srh(4, 1, inner4(9), ad4, next)))
	ad.Mode, ad.Standby = object.ProxyToStandby, "standby"
	if err := b.code.write(ad, elsewhere, loopback); err != nil { // loopback is where we can look
		t.Fatal(err)
	}
	in := append(ethernet(unix.ETH_P_IP), inner4(9)...)
	if ret, _ := b.run(b.code.back, in); ret != passed {
		t.Errorf("what is on its way meets %d", int32(ret))
	}
	b.run(b.code.toNF, outer(ad4, 55, srh(4, 1, inner4(9), ad4, as4)))
	if got := b.reading(ad4).Segments; !slices.Equal(got, []netip.Addr{ad4, as4}) {
		t.Errorf("keeps %v for the standby NF", got)
	}
	_, out := b.run(b.code.back, in)
	checkReturned(t, out, in, 4, 55, []netip.Addr{ad4, as4}, 0)
}

// TestHandOver: the other NF's packets get the headers that were kept for the first one
// from the moment on that it is switched to.
func TestHandOver(t *testing.T) {
	const elsewhere = loopback + 1
	ad := dynamic(ad4, object.InnerIPv4)
	b := newBench(t)
	ad.In, ad.Standby = "nf", "standby"
	if err := b.code.write(ad, elsewhere, loopback); err != nil {
		t.Fatal(err)
	}
	b.run(b.code.toNF, outer(ad4, 44, srh(4, 1, inner4(9), ad4, next)))
	in := append(ethernet(unix.ETH_P_IP), inner4(9)...)
	if ret, _ := b.run(b.code.back, in); ret != dropped {
		t.Fatalf("what the standby NF sends before it is used meets %d", int32(ret))
	}
	ad.Mode = object.ProxyToStandby
	if err := b.code.write(ad, elsewhere, loopback); err != nil {
		t.Fatal(err)
	}
	ret, out := b.run(b.code.back, in)
	if ret != passed {
		t.Fatalf("what the standby NF sends meets %d", int32(ret))
	}
	checkReturned(t, out, in, 4, 44, []netip.Addr{ad4, next}, 0)
	if got := b.reading(ad4); got.Changes != 1 || !slices.Equal(got.Segments, []netip.Addr{ad4, next}) {
		t.Errorf("shown: %+v", got)
	}
}

// BenchmarkSwitch is what it takes to have packets go past an NF, and back.
func BenchmarkSwitch(b *testing.B) {
	ad := dynamic(ad4, object.InnerIPv4)
	w := newBench(b).add(ad)
	for i := range b.N {
		ad.Mode = object.ProxyMode(2 * (i % 2))
		if err := w.code.write(ad, loopback, 0); err != nil {
			b.Fatal(err)
		}
	}
}

// TestBypassedToNext: past an NF that is down packets go to the next one of this node.
func TestBypassedToNext(t *testing.T) {
	const elsewhere = loopback + 1
	down := dynamic(ad4, object.InnerIPv4)
	b := newBench(t).add(down)
	b.mode(down, object.ProxyBypass)
	another := dynamic(next, object.InnerIPv4)
	if err := b.code.write(another, elsewhere, 0); err != nil {
		t.Fatal(err)
	}
	ret, out := b.run(b.code.toNF, outer(ad4, 44, srh(4, 2, inner4(9), ad4, next, as4)))
	if ret != passed || out[14+40+3] != 0 {
		t.Errorf("returns %d with %d segments left, which the kernel does not open", int32(ret), out[14+40+3])
	}
	if r := b.reading(next); r.Counters != (object.ProxyCounters{Forwarded: 1, CacheUpdates: 1}) || r.Left != 0 {
		t.Errorf("the next NF: %+v", r)
	}
	if err := b.code.erase(next); err != nil {
		t.Fatal(err)
	}
}

// TestEcho: an echo reply of the NF itself is for the node that probes it; any other is
// a packet of the chain.
func TestEcho(t *testing.T) {
	reply4, reply6 := inner4(9), inner6(9)
	reply4[9] = unix.IPPROTO_ICMP // type 0
	reply6[6], reply6[40] = unix.IPPROTO_ICMPV6, 129
	request4, request6 := bytes.Clone(reply4), bytes.Clone(reply6)
	request4[20], request6[40] = 8, 128
	b := newBench(t)
	for name, tt := range map[string]struct {
		sid    netip.Addr
		inner  object.InnerType
		echo   string
		in     packet
		counts uint64
	}{
		"reply":             {ad4, object.InnerIPv4, "192.168.3.5", append(ethernet(unix.ETH_P_IP), reply4...), 0},
		"reply6":            {ad6, object.InnerIPv6, "fd00:3::5", append(ethernet(unix.ETH_P_IPV6), reply6...), 0},
		"request":           {ad4, object.InnerIPv4, "192.168.3.5", append(ethernet(unix.ETH_P_IP), request4...), 1},
		"request6":          {ad6, object.InnerIPv6, "fd00:3::5", append(ethernet(unix.ETH_P_IPV6), request6...), 1},
		"another's reply":   {ad4, object.InnerIPv4, "192.168.3.6", append(ethernet(unix.ETH_P_IP), reply4...), 1},
		"nobody probes":     {ad4, object.InnerIPv4, "", append(ethernet(unix.ETH_P_IP), reply4...), 1},
		"another's reply 6": {ad6, object.InnerIPv6, "fd00:3::6", append(ethernet(unix.ETH_P_IPV6), reply6...), 1},
	} {
		t.Run(name, func(t *testing.T) {
			p := dynamic(tt.sid, tt.inner)
			p.Echo, _ = netip.ParseAddr(tt.echo)
			b.add(p)
			b.run(b.code.back, tt.in)
			if got := b.reading(tt.sid).Counters.NoCache; got != tt.counts {
				t.Errorf("%d went on to the chain, want %d", got, tt.counts)
			}
		})
	}
}
