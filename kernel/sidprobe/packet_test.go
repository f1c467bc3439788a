package sidprobe

import (
	"net/netip"
	"testing"
)

func addrs(texts ...string) []netip.Addr {
	as := make([]netip.Addr, len(texts))
	for i, t := range texts {
		as[i] = netip.MustParseAddr(t)
	}
	return as
}

// travel is what the nodes on the way do to a probe: the next segment each time, and
// in the end what is inside, if the last one takes it out.
func travel(b []byte, decapsulates bool) []byte {
	b = append([]byte{}, b...)
	for b[6] == protoRouting && b[ipv6Header+3] > 0 {
		b[ipv6Header+3]--
		at := ipv6Header + srhHeader + 16*int(b[ipv6Header+3])
		copy(b[24:40], b[at:at+16])
	}
	if !decapsulates {
		return b
	}
	if b[6] == protoRouting {
		return b[ipv6Header+(int(b[ipv6Header+1])+1)*8:]
	}
	return b[ipv6Header:]
}

func TestPackets(t *testing.T) {
	own := netip.MustParseAddr("2001:db8:a::1")
	s := session{id: 7, port: 4000}
	for name, p := range map[string]Probe{
		"one segment":                      {Segments: addrs("fc00::1"), Source: own},
		"three segments":                   {Segments: addrs("fc00::1", "fc00::2", "fc00::3"), Source: own},
		"IPv6 inside":                      {Segments: addrs("fc00::1"), Source: own, Inner: own},
		"IPv4 inside":                      {Segments: addrs("fc00::1"), Source: own, Inner: netip.MustParseAddr("192.0.2.1")},
		"IPv4 inside, two SIDs":            {Segments: addrs("fc00::1", "fc00::2"), Source: own, Inner: netip.MustParseAddr("192.0.2.1")},
		"IPv4 inside from another address": {Segments: addrs("fc00::1"), Source: own, Inner: netip.MustParseAddr("192.0.2.1"), InnerSource: netip.MustParseAddr("192.0.2.0")},
		"IPv6 inside, four SIDs":           {Segments: addrs("fc00::1", "fc00::2", "fc00::3", "fc00::4"), Source: own, Inner: netip.MustParseAddr("2001:db8:b::1")},
	} {
		b := p.packet(s, 42)
		if dst, _ := netip.AddrFromSlice(b[24:40]); dst != p.Segments[0] {
			t.Errorf("%s: it goes to %s first", name, dst)
		}
		if int(b[4])<<8|int(b[5]) != len(b)-ipv6Header {
			t.Errorf("%s: length %d of %d", name, int(b[4])<<8|int(b[5]), len(b)-ipv6Header)
		}
		if seq, ok := s.back(b, p.home()); ok {
			t.Errorf("%s: %d is taken for back before it has gone", name, seq)
		}
		home := travel(b, p.Inner.IsValid())
		if seq, ok := s.back(home, p.home()); !ok || seq != 42 {
			t.Errorf("%s: %d, %t when it is back", name, seq, ok)
		}
		for what, other := range map[string]session{"session": {id: 8, port: 4000}, "port": {id: 7, port: 4001}} {
			if _, ok := other.back(home, p.home()); ok {
				t.Errorf("%s: one of another %s is taken", name, what)
			}
		}
		if _, ok := s.back(home, netip.MustParseAddr("fc00::9")); ok {
			t.Errorf("%s: one to another address is taken", name)
		}
		segment, dst, ok := udpOf(home)
		src := dst
		if p.InnerSource.IsValid() {
			src = p.InnerSource
		}
		sum := add(add(uint32(len(segment))+protoUDP, src.AsSlice()), dst.AsSlice())
		if !ok || checksum(sum, segment) != 0 {
			t.Errorf("%s: the checksum of the UDP packet is wrong", name)
		}
		if home[0]>>4 == 4 && checksum(0, home[:ipv4Header]) != 0 {
			t.Errorf("%s: the checksum of the IPv4 header is wrong", name)
		}
	}
}

// FuzzBack reads what may come in. A packet that is taken has all of a probe in it.
func FuzzBack(f *testing.F) {
	own := netip.MustParseAddr("2001:db8:a::1")
	s := session{id: 7, port: 4000}
	f.Add(travel(Probe{Segments: addrs("fc00::1", "fc00::2"), Source: own}.packet(s, 1), false))
	f.Add(travel(Probe{Segments: addrs("fc00::1"), Source: own, Inner: own}.packet(s, 2), true))
	f.Add([]byte{0x45})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, ok := s.back(b, own); ok && len(b) < ipv6Header+udpHeader+payloadSize {
			t.Errorf("%x is taken for a probe", b)
		}
	})
}
