package srproxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

var (
	am  = netip.MustParseAddr("2001:db8:0:1:a301::")
	am2 = netip.MustParseAddr("2001:db8:0:1:a302::")
	end = netip.MustParseAddr("2001:db8:0:9::6")
)

// masked makes one SID of End.AM, with the loopback link on both sides.
func (b *bench) masked(sid netip.Addr, nat bool) {
	b.t.Helper()
	if err := b.code.writeMasquerade(&object.Proxy{SID: sid, Behavior: object.EndAM, DestinationNAT: nat}, loopback, loopback); err != nil {
		b.t.Fatal(err)
	}
}

// datagram is a packet with an SRH and a UDP datagram with a right checksum, which is
// over the final destination (RFC 8200 §8.1).
func datagram(dst netip.Addr, hopLimit, left uint8, segments ...netip.Addr) packet {
	udp := make([]byte, 8, 20)
	udp = append(udp, "twelve bytes"...)
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	binary.BigEndian.PutUint16(udp[6:], transportSum(from, segments[len(segments)-1], udp))
	return ethernet(unix.ETH_P_IPV6).ipv6(from, dst, unix.IPPROTO_ROUTING, hopLimit, srh(unix.IPPROTO_UDP, left, udp, segments...))
}

// transportSum is the checksum of UDP over IPv6 (RFC 8200 §8.1); 0 over one that has it.
func transportSum(src, dst netip.Addr, udp []byte) uint16 {
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), binary.BigEndian.AppendUint32(nil, uint32(len(udp))), []byte{0, 0, 0, unix.IPPROTO_UDP})
	return checksum(append(pseudo, udp...))
}

// at puts another destination into a packet.
func (p packet) at(dst netip.Addr) packet {
	p = bytes.Clone(p)
	copy(p[14+24:], dst.AsSlice())
	return p
}

// set puts one octet into the SRH of a packet.
func (p packet) set(at int, to byte) packet {
	p = bytes.Clone(p)
	p[14+40+at] = to
	return p
}

// TestMasquerade is each rule of the way to the NF, with what it counts.
func TestMasquerade(t *testing.T) {
	tests := map[string]struct {
		in    packet
		out   packet // nil: dropped
		count object.ProxyCounters
	}{
		"masqueraded":     {datagram(am, 9, 2, am, next, end), datagram(end, 9, 2, am, next, end), object.ProxyCounters{Forwarded: 1}},
		"last but one":    {datagram(am, 9, 1, am, end), datagram(end, 9, 1, am, end), object.ProxyCounters{Forwarded: 1}},
		"no srh":          {ethernet(unix.ETH_P_IPV6).ipv6(from, am, unix.IPPROTO_UDP, 9, make([]byte, 20)), nil, object.ProxyCounters{NoSRH: 1}},
		"other routing":   {datagram(am, 9, 1, am, end).set(2, 2), nil, object.ProxyCounters{NoSRH: 1}},
		"none left":       {datagram(am, 9, 0, next, am), nil, object.ProxyCounters{SegmentsLeftZero: 1}},
		"left beyond":     {datagram(am, 9, 2, am, end), nil, object.ProxyCounters{BadSRH: 1}},
		"too short":       {datagram(am, 9, 1, am, end).set(1, 3), nil, object.ProxyCounters{BadSRH: 1}},
		"cut off":         {datagram(am, 9, 1, am, end)[:14+40+8+16+5], nil, object.ProxyCounters{BadSRH: 1}},
		"to many":         {datagram(am, 9, 1, am, netip.MustParseAddr("ff02::1")), nil, object.ProxyCounters{BadSRH: 1}},
		"another address": {datagram(next, 9, 1, next, end), datagram(next, 9, 1, next, end), object.ProxyCounters{}},
		"back already":    {datagram(next, 9, 1, am, next, end), datagram(next, 9, 1, am, next, end), object.ProxyCounters{}},
	}
	b := newBench(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b.again(am)
			b.masked(am, false)
			b.expect(t, b.code.AmEgress, tt.in, tt.out)
			if got := b.reading(am).Counters; got != tt.count {
				t.Errorf("counts %+v, want %+v", got, tt.count)
			}
		})
	}
}

// again takes the rows of SIDs away, so that they count from 0.
func (b *bench) again(sids ...netip.Addr) {
	b.t.Helper()
	for _, sid := range sids {
		if err := b.code.erase(sid); err != nil {
			b.t.Fatal(err)
		}
	}
}

// expect runs a program: out is what becomes of in, nil that it is dropped.
func (b *bench) expect(t *testing.T, p *ebpf.Program, in, out packet) {
	t.Helper()
	ret, got := b.run(p, in)
	switch {
	case out == nil && ret != dropped:
		t.Errorf("returns %d, want it dropped", int32(ret))
	case out != nil && (ret != passed || !bytes.Equal(got, out)):
		t.Errorf("returns %d and becomes\n%x, want\n%x", int32(ret), got, out)
	}
}

// TestUnmask is each rule of the way back.
func TestUnmask(t *testing.T) {
	other := netip.MustParseAddr("2001:db8:0:9::7")
	local := datagram(end, 9, 1, am, end)
	copy(local[14+8:], netip.MustParseAddr("fe80::1").AsSlice())
	sent := datagram(end, 9, 2, am, next, end)
	none := object.ProxyCounters{}
	tests := map[string]struct {
		nat   bool
		in    packet
		out   packet // nil: dropped
		count object.ProxyCounters
	}{
		"next":           {false, sent, datagram(next, 9, 1, am, next, end), object.ProxyCounters{Returned: 1}},
		"last":           {false, datagram(end, 9, 1, am, end), datagram(end, 9, 0, am, end), object.ProxyCounters{Returned: 1}},
		"another":        {false, sent.at(other), nil, object.ProxyCounters{WrongDestination: 1}},
		"nat":            {true, datagram(other, 9, 2, am, next, end), datagram(next, 9, 1, am, next, end).nat(other), object.ProxyCounters{Returned: 1}},
		"nat, last":      {true, datagram(other, 9, 1, am, end), datagram(other, 9, 0, am, end).nat(other), object.ProxyCounters{Returned: 1}},
		"nat, unchanged": {true, sent, datagram(next, 9, 1, am, next, end), object.ProxyCounters{Returned: 1}},
		"none left":      {false, datagram(end, 9, 0, am, end), datagram(end, 9, 0, am, end), none},
		"no srh":         {false, ethernet(unix.ETH_P_IPV6).ipv6(from, end, unix.IPPROTO_UDP, 9, make([]byte, 20)), ethernet(unix.ETH_P_IPV6).ipv6(from, end, unix.IPPROTO_UDP, 9, make([]byte, 20)), none},
		"another SID":    {false, datagram(end, 9, 2, next, am, end).set(3, 2), datagram(end, 9, 2, next, am, end), none},
		"link-local":     {false, local, local, none},
		"multicast":      {true, sent.at(netip.MustParseAddr("ff02::1")), sent.at(netip.MustParseAddr("ff02::1")), none},
		"not ipv6":       {false, append(ethernet(unix.ETH_P_IP), inner4(9)...), append(ethernet(unix.ETH_P_IP), inner4(9)...), none},
		"bad srh":        {false, datagram(end, 9, 1, am, end).set(1, 3), datagram(end, 9, 1, am, end).set(1, 3), none},
	}
	b := newBench(t)
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b.again(am)
			b.masked(am, tt.nat)
			b.expect(t, b.code.AmIngress, tt.in, tt.out)
			if got := b.reading(am).Counters; got != tt.count {
				t.Errorf("counts %+v, want %+v", got, tt.count)
			}
		})
	}
}

// nat puts another last segment into the SRH of a packet.
func (p packet) nat(to netip.Addr) packet {
	p = bytes.Clone(p)
	copy(p[14+40+8:], to.AsSlice())
	return p
}

// TestChecksumStays: what the NF and the end see has the right checksum of UDP.
func TestChecksumStays(t *testing.T) {
	b := newBench(t)
	b.masked(am, false)
	_, out := b.run(b.code.AmEgress, datagram(am, 9, 1, am, end))
	udp := out[14+40+8+2*16:]
	if sum := transportSum(from, netip.AddrFrom16([16]byte(out[14+24:])), udp); sum != 0 {
		t.Errorf("the NF sees a checksum that is wrong by %#x", sum)
	}
	_, out = b.run(b.code.AmIngress, out)
	if sum := transportSum(from, netip.AddrFrom16([16]byte(out[14+24:])), udp); sum != 0 {
		t.Errorf("the end sees a checksum that is wrong by %#x", sum)
	}
}

// TestManyMasks: one link serves many SIDs, and the chain may go on to one of them or to
// a proxy of another kind.
func TestManyMasks(t *testing.T) {
	const elsewhere = loopback + 1
	b := newBench(t)
	b.masked(am, false)
	b.masked(am2, false)
	if err := b.code.write(dynamic(ad6, object.InnerIPv6), elsewhere, 0); err != nil {
		t.Fatal(err)
	}
	b.expect(t, b.code.AmIngress, datagram(end, 9, 3, am, am2, next, end), datagram(am2, 9, 2, am, am2, next, end))
	b.expect(t, b.code.AmEgress, datagram(am2, 9, 2, am, am2, next, end), datagram(end, 9, 2, am, am2, next, end))
	b.expect(t, b.code.AmIngress, datagram(end, 9, 2, am, am2, next, end), datagram(next, 9, 1, am, am2, next, end))
	carried := srh(unix.IPPROTO_IPV6, 2, inner6(9), am, ad6, end)
	opened := bytes.Clone(carried)
	opened[3] = 0
	b.expect(t, b.code.AmIngress, outer(end, 9, carried), outer(ad6, 9, opened))
	if got := b.reading(am).Counters; got != (object.ProxyCounters{Returned: 2}) {
		t.Errorf("the first counts %+v", got)
	}
	if got := b.reading(am2).Counters; got != (object.ProxyCounters{Forwarded: 1, Returned: 1}) {
		t.Errorf("the second counts %+v", got)
	}
	if got := b.reading(ad6); got.Counters != (object.ProxyCounters{Forwarded: 1, CacheUpdates: 1}) || got.Left != 0 {
		t.Errorf("End.AD behind them has %+v", got)
	}
	b.again(am, am2, ad6)
}

// FuzzMasquerade feeds anything to the programs of End.AM: they change addresses and the
// segments left, of packets with a segment left, and nothing else.
func FuzzMasquerade(f *testing.F) {
	f.Add([]byte(datagram(am, 9, 2, am, next, end)), false, false)
	f.Add([]byte(datagram(end, 9, 2, am, next, end)), true, false)
	f.Add([]byte(datagram(next, 9, 2, am, next, end)), true, true)
	f.Add([]byte(ethernet(unix.ETH_P_IPV6).ipv6(from, am, 0, 9, make([]byte, 20))), false, false)
	b := newBench(f)
	f.Fuzz(func(t *testing.T, in []byte, back, nat bool) {
		if len(in) < 14 || len(in) > 2000 {
			return // the kernel makes no frame of it
		}
		b := &bench{t, b.code}
		b.masked(am, nat)
		p := b.code.AmEgress
		if back {
			p = b.code.AmIngress
		}
		out := make([]byte, len(in)+512)
		opts := &ebpf.RunOptions{Data: in, DataOut: out}
		ret, err := p.Run(opts)
		if err != nil {
			return // no frame
		}
		if ret != passed && ret != dropped {
			t.Fatalf("returns %d", ret)
		}
		out = opts.DataOut
		if bytes.Equal(out, in) {
			return
		}
		if len(out) != len(in) || len(in) < 14+40+8+16 {
			t.Fatalf("%d octets become %d", len(in), len(out))
		}
		left, segments := int(out[14+40+3]), out[14+40+8:]
		was := bytes.Clone(in)
		copy(was[14+24:], out[14+24:14+40]) // the destination
		if back {
			was[14+40+3]--
			if nat {
				copy(was[14+40+8:], out[14+40+8:14+40+8+16])
			}
		}
		if !bytes.Equal(was, out) && ret == passed {
			t.Fatalf("becomes\n%x, was\n%x", out, in)
		}
		at := 0
		if back {
			at = left
		}
		if ret == passed && !bytes.Equal(out[14+24:14+40], segments[16*at:][:16]) {
			t.Fatalf("goes to another segment than %d: %x", at, out)
		}
	})
}
