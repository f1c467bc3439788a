package sidprobe

import (
	"bytes"
	"encoding/binary"
	"net/netip"
)

// Numbers of the protocols in a probe (IANA).
const (
	protoIPv4    = 4
	protoUDP     = 17
	protoIPv6    = 41
	protoRouting = 43

	routingSRH = 4 // RFC 8754 §2

	ipv4Header, ipv6Header, udpHeader, srhHeader = 20, 40, 8, 8

	hopLimit = 64
)

// mark is what the payload of a probe starts with; behind it are the session and the
// number of the probe.
var mark = []byte("heddle SID probe")

const payloadSize = 16 + 8 + 4

// session tells the probes of one run from all others.
type session struct {
	id   uint64
	port uint16
}

func (s session) payload(seq uint32) []byte {
	b := append(make([]byte, 0, payloadSize), mark...)
	b = binary.BigEndian.AppendUint64(b, s.id)
	return binary.BigEndian.AppendUint32(b, seq)
}

// packet is a probe from its IPv6 header on. Without Inner it is a UDP packet whose
// last segment is its source: what turns round at the SID before that comes back.
// With Inner the last segment takes a UDP packet to Inner out of it.
func (p Probe) packet(s session, seq uint32) []byte {
	if !p.Inner.IsValid() {
		segments := append(append([]netip.Addr{}, p.Segments...), p.Source)
		return ipv6(p.Source, p.Segments[0], protoRouting, srh(protoUDP, segments, udp(p.Source, p.Source, s.port, s.payload(seq))))
	}
	from := p.InnerSource
	if !from.IsValid() {
		from = p.Inner
	}
	inner, next := ip(from, p.Inner, udp(from, p.Inner, s.port, s.payload(seq)))
	if len(p.Segments) == 1 {
		return ipv6(p.Source, p.Segments[0], next, inner)
	}
	return ipv6(p.Source, p.Segments[0], protoRouting, srh(next, p.Segments, inner))
}

func ipv6(src, dst netip.Addr, next uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint32(make([]byte, 0, ipv6Header+len(payload)), 6<<28)
	b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	b = append(b, next, hopLimit)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, payload...)
}

// ip is a packet with UDP in it, and its own number as a payload.
func ip(src, dst netip.Addr, payload []byte) (b []byte, proto uint8) {
	if dst.Is6() {
		return ipv6(src, dst, protoUDP, payload), protoIPv6
	}
	b = []byte{4<<4 | ipv4Header/4, 0}
	b = binary.BigEndian.AppendUint16(b, uint16(ipv4Header+len(payload)))
	b = append(b, 0, 0, 0, 0, hopLimit, protoUDP, 0, 0)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], checksum(0, b))
	return append(b, payload...), protoIPv4
}

// srh puts a segment routing header in front of a payload. Segments are in travel
// order, in the header in the opposite one.
func srh(next uint8, segments []netip.Addr, payload []byte) []byte {
	n := len(segments)
	b := append(make([]byte, 0, srhHeader+16*n+len(payload)), next, uint8(2*n), routingSRH, uint8(n-1), uint8(n-1), 0, 0, 0)
	for i := n - 1; i >= 0; i-- {
		b = append(b, segments[i].AsSlice()...)
	}
	return append(b, payload...)
}

// udp is a packet from a port to the same.
func udp(src, dst netip.Addr, port uint16, payload []byte) []byte {
	length := uint16(udpHeader + len(payload))
	b := binary.BigEndian.AppendUint16(nil, port)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, length)
	b = append(append(b, 0, 0), payload...)
	pseudo := add(add(uint32(length)+protoUDP, src.AsSlice()), dst.AsSlice())
	c := checksum(pseudo, b)
	if c == 0 {
		c = 0xffff // 0 would be none
	}
	binary.BigEndian.PutUint16(b[6:], c)
	return b
}

func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// checksum is that of RFC 1071.
func checksum(sum uint32, b []byte) uint16 {
	sum = add(sum, b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// back reads a packet that has come in, from its IP header on, and reports the number
// of the probe that it is. One that is still in another packet, has segments left or
// goes to another address than home is none.
func (s session) back(b []byte, home netip.Addr) (seq uint32, ok bool) {
	payload, dst, ok := udpOf(b)
	if !ok || dst != home || len(payload) < udpHeader || binary.BigEndian.Uint16(payload[2:]) != s.port {
		return 0, false
	}
	return s.number(payload[udpHeader:])
}

// number is that of the probe with a payload.
func (s session) number(b []byte) (seq uint32, ok bool) {
	if len(b) != payloadSize || !bytes.HasPrefix(b, mark) || binary.BigEndian.Uint64(b[len(mark):]) != s.id {
		return 0, false
	}
	return binary.BigEndian.Uint32(b[len(mark)+8:]), true
}

// udpOf finds the UDP packet in an IP packet, and where that goes.
func udpOf(b []byte) (packet []byte, dst netip.Addr, ok bool) {
	if len(b) < 1 {
		return nil, dst, false
	}
	if b[0]>>4 == 4 {
		header := int(b[0]&15) * 4
		if header < ipv4Header || len(b) < header || b[9] != protoUDP || binary.BigEndian.Uint16(b[6:])&0x3fff != 0 {
			return nil, dst, false
		}
		dst, _ = netip.AddrFromSlice(b[16:20])
		return b[header:], dst, true
	}
	if b[0]>>4 != 6 || len(b) < ipv6Header {
		return nil, dst, false
	}
	dst, _ = netip.AddrFromSlice(b[24:40])
	next, rest := b[6], b[ipv6Header:]
	if next == protoRouting {
		if len(rest) < srhHeader || rest[3] != 0 {
			return nil, dst, false
		}
		size := (int(rest[1]) + 1) * 8
		if len(rest) < size {
			return nil, dst, false
		}
		next, rest = rest[0], rest[size:]
	}
	return rest, dst, next == protoUDP
}
