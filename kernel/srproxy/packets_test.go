package srproxy

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
)

// What the programs are tried with: a SID of each behaviour and type, whose packets
// come back on the loopback link, on which the kernel runs programs for a test.
var (
	ad4 = netip.MustParseAddr("2001:db8:0:1:ad04::")
	ad6 = netip.MustParseAddr("2001:db8:0:1:ad06::")
	as4 = netip.MustParseAddr("2001:db8:0:1:a504::")

	next = netip.MustParseAddr("2001:db8:0:4:ff01::")
	from = netip.MustParseAddr("2001:db8:0:3::1")
)

// packet is an Ethernet frame that is put together octet by octet, so that it can be
// wrong in any place.
type packet []byte

func ethernet(typ uint16) packet {
	return binary.BigEndian.AppendUint16(make([]byte, 12, 256), typ)
}

func (p packet) ipv6(src, dst netip.Addr, nextHeader, hopLimit uint8, payload []byte) packet {
	p = append(p, 6<<4|3, 0xa<<4|1, 2, 3) // class 0x3a
	p = binary.BigEndian.AppendUint16(p, uint16(len(payload)))
	p = append(p, nextHeader, hopLimit)
	p = append(append(p, src.AsSlice()...), dst.AsSlice()...)
	return append(p, payload...)
}

// srh is a routing header with a payload behind it: segments in the order of the way.
func srh(nextHeader, left uint8, payload []byte, segments ...netip.Addr) []byte {
	b := []byte{nextHeader, uint8(2 * len(segments)), 4, left, uint8(len(segments) - 1), 0, 0, 0}
	for i := len(segments) - 1; i >= 0; i-- {
		b = append(b, segments[i].AsSlice()...)
	}
	return append(b, payload...)
}

func inner4(ttl uint8) []byte {
	b := make([]byte, 20, 40)
	b[0], b[1], b[8], b[9] = 0x45, 0x28, ttl, unix.IPPROTO_UDP
	binary.BigEndian.PutUint16(b[2:], 40)
	copy(b[12:], []byte{192, 168, 3, 5})
	copy(b[16:], []byte{192, 168, 4, 6})
	binary.BigEndian.PutUint16(b[10:], checksum(b))
	return append(b, make([]byte, 20)...)
}

func inner6(hopLimit uint8) []byte {
	return packet(nil).ipv6(netip.MustParseAddr("fd00:3::5"), netip.MustParseAddr("fd00:4::6"), unix.IPPROTO_UDP, hopLimit, make([]byte, 20))
}

// checksum is that of an IPv4 header (RFC 1071), 0 over one that has a right one.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// outer is a packet for a SID.
func outer(sid netip.Addr, hopLimit uint8, payload []byte) packet {
	return ethernet(unix.ETH_P_IPV6).ipv6(from, sid, unix.IPPROTO_ROUTING, hopLimit, payload)
}

// bench is the programs with rows for the SIDs, in a namespace of their own.
type bench struct {
	t    testing.TB
	code *programs
}

func newBench(t testing.TB) *bench {
	t.Helper()
	kerneltest.Namespace(t)
	scope := fmt.Sprintf("packets-%d", os.Getpid())
	p := &pins{scope: scope}
	code, err := load(p)
	if v, ok := errors.AsType[*VerifierError](err); ok {
		t.Fatalf("%v\n%s", v, v.Log)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		code.close()
		if err := p.removeAll(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(filepath.Join(bpffs, "heddle", scope)); err == nil {
			t.Error("pins are left")
		}
	})
	return &bench{t, code}
}

const loopback = 1

func (b *bench) add(p *object.Proxy) *bench {
	b.t.Helper()
	// One row for all: the kernel runs the programs of a test on the loopback link.
	for _, s := range []netip.Addr{ad4, ad6, as4} {
		if err := b.code.erase(s); err != nil {
			b.t.Fatal(err)
		}
	}
	p.In = "lo"
	if err := b.code.write(p, loopback, 0); err != nil {
		b.t.Fatal(err)
	}
	return b
}

func dynamic(sid netip.Addr, inner object.InnerType) *object.Proxy {
	return &object.Proxy{SID: sid, Behavior: object.EndAD, Inner: inner}
}

func fixed(sid netip.Addr) *object.Proxy {
	return &object.Proxy{SID: sid, Behavior: object.EndAS, Inner: object.InnerIPv4, HopLimit: 33,
		Encap: &object.Encap{Mode: object.HEncaps, Source: from, Segments: []netip.Addr{next, ad6}}}
}

const (
	passed  = 0xffffffff // TC_ACT_UNSPEC
	dropped = 2          // TC_ACT_SHOT
)

func (b *bench) run(p *ebpf.Program, in packet) (uint32, packet) {
	b.t.Helper()
	out := make([]byte, len(in)+512)
	opts := &ebpf.RunOptions{Data: in, DataOut: out}
	ret, err := p.Run(opts)
	if err != nil {
		b.t.Fatal(err)
	}
	return ret, opts.DataOut
}

func (b *bench) reading(sid netip.Addr) object.ProxyReading {
	b.t.Helper()
	r, ok, err := b.code.reading(sid)
	if err != nil || !ok {
		b.t.Fatalf("read %s: %t, %v", sid, ok, err)
	}
	return r
}

// TestToNF is each rule of the way to the NF, with what it counts.
func TestToNF(t *testing.T) {
	too := make([]netip.Addr, 17)
	for i := range too {
		too[i] = next
	}
	tlv := srh(4, 1, inner4(9), ad4, next)
	tlv[1]++ // eight octets more than the segments: TLVs
	kind := srh(4, 1, inner4(9), ad4, next)
	kind[2] = 2
	beyond := srh(4, 2, inner4(9), ad4, next)
	type want struct {
		ret      uint32
		counters object.ProxyCounters
	}
	pass := want{passed, object.ProxyCounters{Forwarded: 1}}
	kept := want{passed, object.ProxyCounters{Forwarded: 1, CacheUpdates: 1}}
	tests := map[string]struct {
		proxy *object.Proxy
		in    packet
		want
	}{
		"ipv4":           {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(4, 1, inner4(9), ad4, next)), kept},
		"ipv6":           {dynamic(ad6, object.InnerIPv6), outer(ad6, 9, srh(41, 1, inner6(9), ad6, next)), kept},
		"16 segments":    {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(4, 15, inner4(9), too[:16]...)), kept},
		"no header":      {dynamic(ad4, object.InnerIPv4), ethernet(unix.ETH_P_IPV6).ipv6(from, ad4, 4, 9, inner4(9)), want{dropped, object.ProxyCounters{NoSRH: 1}}},
		"last segment":   {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(4, 0, inner4(9), ad4)), want{dropped, object.ProxyCounters{SegmentsLeftZero: 1}}},
		"other inside":   {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(41, 1, inner6(9), ad4, next)), want{dropped, object.ProxyCounters{WrongInnerType: 1}}},
		"ethernet":       {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(143, 1, inner4(9), ad4, next)), want{dropped, object.ProxyCounters{WrongInnerType: 1}}},
		"TLV":            {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, tlv), want{dropped, object.ProxyCounters{BadSRH: 1}}},
		"17 segments":    {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(4, 1, inner4(9), too...)), want{dropped, object.ProxyCounters{BadSRH: 1}}},
		"other type":     {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, kind), want{dropped, object.ProxyCounters{BadSRH: 1}}},
		"left beyond":    {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, beyond), want{dropped, object.ProxyCounters{BadSRH: 1}}},
		"cut off":        {dynamic(ad4, object.InnerIPv4), outer(ad4, 9, srh(4, 1, nil, ad4, next)[:20]), want{dropped, object.ProxyCounters{BadSRH: 1}}},
		"hop limit":      {dynamic(ad4, object.InnerIPv4), outer(ad4, 1, srh(4, 1, inner4(9), ad4, next)), want{passed, object.ProxyCounters{Expired: 1}}},
		"another SID":    {dynamic(ad4, object.InnerIPv4), outer(next, 9, srh(4, 1, inner4(9), next, ad4)), want{passed, object.ProxyCounters{}}},
		"another type":   {dynamic(ad4, object.InnerIPv4), append(ethernet(unix.ETH_P_IP), inner4(9)...), want{passed, object.ProxyCounters{}}},
		"static":         {fixed(as4), outer(as4, 9, srh(4, 1, inner4(9), as4, next)), pass},
		"static, last":   {fixed(as4), outer(as4, 9, srh(4, 0, inner4(9), as4)), pass},
		"static, no srh": {fixed(as4), ethernet(unix.ETH_P_IPV6).ipv6(from, as4, 4, 9, inner4(9)), pass},
		"static, hops":   {fixed(as4), outer(as4, 1, srh(4, 0, inner4(9), as4)), want{passed, object.ProxyCounters{Expired: 1}}},
		"static, plain":  {fixed(as4), ethernet(unix.ETH_P_IPV6).ipv6(from, as4, 4, 1, inner4(9)), want{passed, object.ProxyCounters{Expired: 1}}},
		"static, other":  {fixed(as4), ethernet(unix.ETH_P_IPV6).ipv6(from, as4, 41, 9, inner6(9)), want{dropped, object.ProxyCounters{WrongInnerType: 1}}},
	}
	b := newBench(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b.add(tt.proxy)
			ret, out := b.run(b.code.toNF, tt.in)
			if ret != tt.ret {
				t.Errorf("returns %d, want %d", int32(ret), int32(tt.ret))
			}
			if got := b.reading(tt.proxy.SID).Counters; got != tt.counters {
				t.Errorf("counts %+v, want %+v", got, tt.counters)
			}
			want := bytes.Clone(tt.in)
			switch {
			case tt.counters.Forwarded > 0 && want[20] == unix.IPPROTO_ROUTING:
				want[14+40+3] = 0 // the kernel opens what has no segment left
			case tt.counters.Expired > 0:
				copy(want[14+24:], next.AsSlice()) // goes on, and is answered
			}
			if !bytes.Equal(out, want) {
				t.Errorf("becomes\n%x, want\n%x", out, want)
			}
			if tt.counters.Forwarded == 0 && len(b.reading(tt.proxy.SID).Segments) > 0 && tt.proxy.Behavior == object.EndAD {
				t.Error("headers of a packet that is dropped are kept")
			}
		})
	}
}

// TestBack is the way back: the headers, and what is left alone.
func TestBack(t *testing.T) {
	local4, multicast6 := inner4(9), inner6(9)
	copy(local4[16:], []byte{169, 254, 0, 1})
	copy(multicast6[24:], net.ParseIP("ff02::1"))
	// What the NF answers a solicitation from a global address with.
	advertised, forwarded, echoed := inner6(255), inner6(254), inner6(255)
	for b, typ := range map[*[]byte]byte{&advertised: 136, &forwarded: 136, &echoed: 129} {
		(*b)[6], (*b)[40] = unix.IPPROTO_ICMPV6, typ
	}
	tests := map[string]struct {
		sid   netip.Addr
		in    packet
		ret   uint32
		count object.ProxyCounters
	}{
		"ipv4":       {ad4, append(ethernet(unix.ETH_P_IP), inner4(9)...), passed, object.ProxyCounters{Returned: 1}},
		"ipv6":       {ad6, append(ethernet(unix.ETH_P_IPV6), inner6(9)...), passed, object.ProxyCounters{Returned: 1}},
		"ttl":        {ad4, append(ethernet(unix.ETH_P_IP), inner4(1)...), passed, object.ProxyCounters{Expired: 1}},
		"hop limit":  {ad6, append(ethernet(unix.ETH_P_IPV6), inner6(1)...), passed, object.ProxyCounters{Expired: 1}},
		"link-local": {ad4, append(ethernet(unix.ETH_P_IP), local4...), passed, object.ProxyCounters{}},
		"multicast":  {ad6, append(ethernet(unix.ETH_P_IPV6), multicast6...), passed, object.ProxyCounters{}},
		"not ipv4":   {ad4, append(ethernet(unix.ETH_P_IPV6), inner6(9)...), passed, object.ProxyCounters{}},
		"not ipv6":   {ad6, append(ethernet(unix.ETH_P_IP), inner4(9)...), passed, object.ProxyCounters{}},
		"nd":         {ad6, append(ethernet(unix.ETH_P_IPV6), advertised...), passed, object.ProxyCounters{}},
		"nd, routed": {ad6, append(ethernet(unix.ETH_P_IPV6), forwarded...), passed, object.ProxyCounters{Returned: 1}},
		"not nd":     {ad6, append(ethernet(unix.ETH_P_IPV6), echoed...), passed, object.ProxyCounters{Returned: 1}},
		"arp":        {ad4, append(ethernet(unix.ETH_P_ARP), make([]byte, 46)...), passed, object.ProxyCounters{}},
	}
	b := newBench(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inner := object.InnerIPv4
			if tt.sid == ad6 {
				inner = object.InnerIPv6
			}
			b.add(dynamic(tt.sid, inner))
			var none object.ProxyCounters
			if tt.count.Returned > 0 {
				if ret, _ := b.run(b.code.back, tt.in); ret != dropped || b.reading(tt.sid).Counters != (object.ProxyCounters{NoCache: 1}) {
					t.Errorf("before anything was sent: returns %d, counts %+v", ret, b.reading(tt.sid).Counters)
				}
				none.NoCache = 1
			}
			payload := srh(uint8(inner), 2, inner4(9), tt.sid, as4, next)
			b.run(b.code.toNF, outer(tt.sid, 44, payload))
			tt.count.NoCache, tt.count.Forwarded, tt.count.CacheUpdates = none.NoCache, 1, 1
			ret, out := b.run(b.code.back, tt.in)
			if ret != tt.ret {
				t.Errorf("returns %d, want %d", int32(ret), int32(tt.ret))
			}
			if got := b.reading(tt.sid).Counters; got != tt.count {
				t.Errorf("counts %+v, want %+v", got, tt.count)
			}
			if tt.count.Returned == 0 {
				if !bytes.Equal(out, tt.in) {
					t.Errorf("becomes %x, want %x", out, tt.in)
				}
				return
			}
			checkReturned(t, out, tt.in, uint8(inner), 44, []netip.Addr{tt.sid, as4, next}, 1)
		})
	}
}

// TestOtherInside: headers that say IPv4 do not go in front of IPv6.
func TestOtherInside(t *testing.T) {
	b := newBench(t).add(dynamic(ad4, object.InnerIPv4))
	b.run(b.code.toNF, outer(ad4, 9, srh(4, 1, inner4(9), ad4, next)))
	if got := b.reading(ad4).Segments; len(got) != 2 {
		t.Fatalf("kept %v", got)
	}
	if err := b.code.write(dynamic(ad4, object.InnerIPv6), loopback, 0); err != nil {
		t.Fatal(err)
	}
	if got := b.reading(ad4).Segments; len(got) > 0 {
		t.Errorf("with another type inside %v stay", got)
	}
}

// checkReturned looks at a packet that was given headers: those of outer, with a
// segment less, and what was inside with a hop less.
func checkReturned(t *testing.T, out, in packet, inner, hopLimit uint8, segments []netip.Addr, left uint8) {
	t.Helper()
	carried := bytes.Clone(in[14:])
	class := carried[1]
	if inner == 4 {
		carried[8]--
		carried[10], carried[11] = 0, 0
		binary.BigEndian.PutUint16(carried[10:], checksum(carried[:20]))
	} else {
		class = carried[0]<<4 | carried[1]>>4
		carried[7]--
	}
	payload := srh(inner, left, carried, segments...)
	want := ethernet(unix.ETH_P_IPV6).ipv6(from, segments[len(segments)-1-int(left)], unix.IPPROTO_ROUTING, hopLimit, payload)
	if got := out[14]<<4 | out[15]>>4; got != class {
		t.Errorf("class %#x, want that of what is inside, %#x", got, class)
	}
	if label := binary.BigEndian.Uint32(out[14:]) & 0xfffff; label == 0 {
		t.Error("no flow label")
	}
	copy(want[14:18], out[14:18])
	if !bytes.Equal(out, want) {
		t.Errorf("becomes\n%x, want\n%x", out, want)
	}
}

// TestNextOfThisNode: what comes back from an NF goes on to another one of this node,
// as it would from a link to the network.
func TestNextOfThisNode(t *testing.T) {
	const elsewhere = loopback + 1
	b := newBench(t).add(dynamic(ad4, object.InnerIPv4))
	another := dynamic(next, object.InnerIPv4)
	if err := b.code.write(another, elsewhere, 0); err != nil {
		t.Fatal(err)
	}
	b.run(b.code.toNF, outer(ad4, 44, srh(4, 2, inner4(9), ad4, next, as4)))
	ret, out := b.run(b.code.back, append(ethernet(unix.ETH_P_IP), inner4(9)...))
	if ret != passed || out[14+40+3] != 0 {
		t.Errorf("returns %d with %d segments left, which the kernel does not open", int32(ret), out[14+40+3])
	}
	if got := b.reading(ad4).Counters.Returned; got != 1 {
		t.Errorf("%d have come back", got)
	}
	r := b.reading(next)
	if r.Counters != (object.ProxyCounters{Forwarded: 1, CacheUpdates: 1}) || r.Left != 0 || !slices.Equal(r.Segments, []netip.Addr{ad4, next, as4}) {
		t.Errorf("the next NF: %+v", r)
	}
	if err := b.code.erase(next); err != nil {
		t.Fatal(err)
	}
}

// TestNotForThisNode: what a link in promiscuous mode hands up of others is neither
// counted nor kept nor changed, on either way.
func TestNotForThisNode(t *testing.T) {
	b := newBench(t).add(dynamic(ad4, object.InnerIPv4))
	b.masked(am, false)
	defer b.again(am)
	others := func(p packet) packet {
		p = bytes.Clone(p)
		p[0], p[5] = 2, 1
		return p
	}
	one := outer(ad4, 44, srh(4, 1, inner4(9), ad4, next))
	b.run(b.code.toNF, one)
	kept := b.reading(ad4)
	in := others(outer(ad4, 44, srh(4, 1, inner4(9), ad4, as4)))
	b.expect(t, b.code.toNF, in, in)
	in = others(append(ethernet(unix.ETH_P_IP), inner4(9)...))
	b.expect(t, b.code.back, in, in)
	in = others(datagram(end, 9, 1, am, end))
	b.expect(t, b.code.AmIngress, in, in)
	if got := b.reading(ad4); !reflect.DeepEqual(got, kept) {
		t.Errorf("shows %+v, before %+v", got, kept)
	}
	if got := b.reading(am).Counters; got != (object.ProxyCounters{}) {
		t.Errorf("End.AM counts %+v", got)
	}
}

// TestStaticBack: the headers are those that are configured.
func TestStaticBack(t *testing.T) {
	b := newBench(t).add(fixed(as4))
	in := append(ethernet(unix.ETH_P_IP), inner4(9)...)
	if ret, out := b.run(b.code.back, in); ret != passed {
		t.Errorf("returns %d", int32(ret))
	} else {
		checkReturned(t, out, in, 4, 33, []netip.Addr{next, ad6}, 1)
	}
}

// TestChains: another chain is kept in place of the one before; a hop limit that
// differs a little, another class or flow label is no other chain; one that comes back
// at once shares the SID.
func TestChains(t *testing.T) {
	b := newBench(t).add(dynamic(ad4, object.InnerIPv4))
	one := outer(ad4, 60, srh(4, 1, inner4(9), ad4, next))
	near := outer(ad4, 50, srh(4, 1, inner4(77), ad4, next))
	copy(near[15:], []byte{0xff, 0xee, 0xdd})
	far := outer(ad4, 20, srh(4, 1, inner4(9), ad4, next))
	other := outer(ad4, 60, srh(4, 1, inner4(9), ad4, as4))
	for i, step := range []struct {
		in                 packet
		updates, conflicts uint64
		hopLimit           uint8
	}{{one, 1, 0, 60}, {near, 1, 0, 60}, {far, 2, 0, 20}, {one, 3, 0, 60}, {other, 4, 0, 60}, {one, 5, 1, 60}, {other, 6, 2, 60}, {other, 6, 2, 60}} {
		b.run(b.code.toNF, step.in)
		r := b.reading(ad4)
		if r.Counters.CacheUpdates != step.updates || r.Changes != step.updates || r.Counters.ChainConflict != step.conflicts || r.HopLimit != step.hopLimit {
			t.Errorf("packet %d: %+v, want %+v", i, r, step)
		}
	}
	if r := b.reading(ad4); len(r.Segments) != 2 || r.Segments[1] != as4 || r.Source != from || r.Left != 0 || r.Changed == 0 {
		t.Errorf("keeps %+v", r)
	}
}

// TestClock: when headers changed is told by the machine's clock as it is, and the same
// each time that somebody asks.
func TestClock(t *testing.T) {
	b := newBench(t).add(dynamic(ad4, object.InnerIPv4))
	began := time.Now().Add(-time.Second)
	b.run(b.code.toNF, outer(ad4, 60, srh(4, 1, inner4(9), ad4, next)))
	b.code.boot -= int64(time.Hour) // as if the clock had been set since then
	one, other := b.reading(ad4).Changed, b.reading(ad4).Changed
	if at := time.Unix(0, one); at.Before(began) || at.After(time.Now().Add(time.Second)) || one != other {
		t.Errorf("changed at %v, then at %v", at, time.Unix(0, other))
	}
}

// FuzzPrograms feeds anything to both programs: neither says anything but pass and
// drop, and what has been given headers has them whole.
func FuzzPrograms(f *testing.F) {
	f.Add([]byte(outer(ad4, 9, srh(4, 1, inner4(9), ad4, next))), false)
	f.Add([]byte(append(ethernet(unix.ETH_P_IP), inner4(9)...)), true)
	f.Add([]byte(append(ethernet(unix.ETH_P_IPV6), inner6(1)...)), true)
	b := newBench(f).add(dynamic(ad4, object.InnerIPv4))
	f.Fuzz(func(t *testing.T, in []byte, back bool) {
		if len(in) < 14 || len(in) > 2000 {
			return // the kernel makes no frame of it
		}
		b := &bench{t, b.code}
		p := b.code.toNF
		if back {
			b.run(b.code.toNF, outer(ad4, 60, srh(4, 1, inner4(9), ad4, next)))
			p = b.code.back
		}
		before := b.reading(ad4).Counters
		out := make([]byte, len(in)+512)
		opts := &ebpf.RunOptions{Data: in, DataOut: out}
		ret, err := p.Run(opts)
		if err != nil {
			return // no frame
		}
		if ret != passed && ret != dropped {
			t.Fatalf("returns %d", ret)
		}
		r := b.reading(ad4)
		if n := (len(r.Segments)); n > MaxSegments || int(r.Left) >= max(n, 1) {
			t.Fatalf("keeps %+v", r)
		}
		if r.Counters.Returned > before.Returned {
			if got := len(opts.DataOut) - len(in); got != 40+8+16*len(r.Segments) {
				t.Fatalf("%d octets more, with %d segments", got, len(r.Segments))
			}
			if length := int(binary.BigEndian.Uint16(opts.DataOut[18:])); length != len(opts.DataOut)-54 {
				t.Fatalf("payload of %d octets says %d", len(opts.DataOut)-54, length)
			}
		} else if len(opts.DataOut) != len(in) {
			t.Fatalf("%d octets become %d", len(in), len(opts.DataOut))
		}
	})
}
