package nfprobe

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// What the packets say.
const (
	arpRequest, arpReply = 1, 2                 // RFC 826
	arpLen               = 28                   // of Ethernet and IPv4
	echoReply, echo      = 0, 8                 // RFC 792
	echo6, echoReply6    = 128, 129             // RFC 4443 §4
	solicit, advertise   = 135, 136             // RFC 4861 §4.3 and §4.4
	solicitLen           = 8 + 16 + 8           // with the option of the sender's link-layer address
	neighborHops         = 255                  // RFC 4861 §7.1: nobody has forwarded it
	echoLen              = 8 + 8                // the ID behind the header
	icmpFilter           = 1                    // ICMP_FILTER (linux/icmp.h), at SOL_RAW
	solRaw               = unix.SOL_RAW         // of IPv4
	packetOutgoing       = unix.PACKET_OUTGOING // what we send ourselves
)

func open(f family) (fd int, err error) {
	const flags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
	set := func(level, opt, value int) {
		if err == nil {
			err = unix.SetsockoptInt(fd, level, opt, value)
		}
	}
	switch f {
	case arp:
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|flags, int(swapped(unix.ETH_P_ARP)))
		if err == nil { // replies alone
			prog := []unix.SockFilter{
				{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},
				{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arpReply, Jf: 1},
				{Code: unix.BPF_RET, K: 0xffff}, {Code: unix.BPF_RET},
			}
			err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]})
		}
	case icmp4:
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|flags, unix.IPPROTO_ICMP)
		set(unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		set(solRaw, icmpFilter, ^(1 << echoReply))
	case icmp6:
		if fd, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|flags, unix.IPPROTO_ICMPV6); err == nil {
			filter := unix.ICMPv6Filter{Data: [8]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}}
			for _, t := range []int{echoReply6, advertise} {
				filter.Data[t/32] &^= 1 << (t % 32)
			}
			err = unix.SetsockoptICMPv6Filter(fd, unix.IPPROTO_ICMPV6, unix.ICMPV6_FILTER, &filter)
		}
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1)
		set(unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, neighborHops)
	}
	if err != nil && fd > 0 {
		_ = unix.Close(fd)
	}
	return fd, err
}

func swapped(n uint16) uint16 { return n<<8 | n>>8 }

func (p *Prober) sendARP(fd int, t Target) error {
	mac, err := p.hardware(t)
	if err != nil {
		return err
	}
	from, err := p.source(t)
	if err != nil {
		return err
	}
	b := make([]byte, 0, arpLen)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest) // Ethernet, IPv4
	b = append(append(b, mac...), from.AsSlice()...)
	b = append(append(b, make([]byte, 6)...), t.Addr.AsSlice()...)
	to := &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_ARP), Ifindex: t.Index, Halen: 6, Addr: [8]byte{255, 255, 255, 255, 255, 255}}
	return unix.Sendto(fd, b, 0, to)
}

func (p *Prober) sendSolicitation(fd int, t Target) error {
	mac, err := p.hardware(t)
	if err != nil {
		return err
	}
	b := make([]byte, 8, solicitLen)
	b[0] = solicit // the kernel has the checksum
	b = append(append(b, t.Addr.AsSlice()...), 1, 1)
	b = append(b, mac...)
	group := [16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff} // solicited-node (RFC 4291 §2.7.1)
	a := t.Addr.As16()
	copy(group[13:], a[13:])
	return unix.Sendmsg(fd, b, out6(t.Index), &unix.SockaddrInet6{Addr: group}, 0)
}

func (p *Prober) sendEcho(fd int, t Target) error {
	b := make([]byte, echoLen)
	binary.BigEndian.PutUint16(b[4:], p.echo)
	binary.BigEndian.PutUint64(b[8:], t.ID)
	if t.Addr.Is6() {
		b[0] = echo6
		return unix.Sendmsg(fd, b, out6(t.Index), &unix.SockaddrInet6{Addr: t.Addr.As16()}, 0)
	}
	b[0] = echo
	binary.BigEndian.PutUint16(b[2:], checksum(b))
	return unix.Sendmsg(fd, b, unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(t.Index)}), &unix.SockaddrInet4{Addr: t.Addr.As4()}, 0)
}

func out6(index int) []byte { return unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(index)}) }

// checksum is that of RFC 1071.
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

// parse reads what has come in; false: it is no answer to us.
func (p *Prober) parse(f family, b, control []byte, from unix.Sockaddr) (r Reply, ok bool) {
	switch f {
	case arp:
		at, is := from.(*unix.SockaddrLinklayer)
		if !is || at.Pkttype == packetOutgoing || len(b) < arpLen || b[4] != 6 || b[5] != 4 {
			return r, false
		}
		return Reply{Kind: Neighbor, Addr: netip.AddrFrom4([4]byte(b[14:18])), Index: at.Ifindex}, true
	case icmp4:
		src, is := from.(*unix.SockaddrInet4)
		if !is || len(b) < 20 || len(b) < 4*int(b[0]&0xf)+echoLen {
			return r, false
		}
		r.Addr, b = netip.AddrFrom4(src.Addr), b[4*int(b[0]&0xf):]
		r.Kind, ok = Echo, b[0] == echoReply && p.ours(b, &r)
	case icmp6:
		src, is := from.(*unix.SockaddrInet6)
		switch {
		case !is || len(b) < echoLen:
			return r, false
		case b[0] == echoReply6:
			r.Addr, r.Kind = netip.AddrFrom16(src.Addr), Echo
			ok = p.ours(b, &r)
		case b[0] == advertise && len(b) >= 24:
			r.Addr, r.Kind = netip.AddrFrom16([16]byte(b[8:24])), Neighbor
			ok = true
		}
	}
	index, hops, err := metadata(control)
	r.Index = index
	return r, ok && err == nil && (r.Kind == Echo || hops == neighborHops)
}

// ours reports whether an echo reply answers a request of ours.
func (p *Prober) ours(b []byte, r *Reply) bool {
	r.ID = binary.BigEndian.Uint64(b[8:])
	return binary.BigEndian.Uint16(b[4:]) == p.echo
}

// metadata is the link that a packet has come by, and its hop limit.
func metadata(control []byte) (index, hops int, err error) {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return 0, 0, fmt.Errorf("read control message: %w", err)
	}
	for _, m := range all {
		level, typ := int(m.Header.Level), int(m.Header.Type)
		switch {
		case level == unix.IPPROTO_IP && typ == unix.IP_PKTINFO && len(m.Data) >= 4:
			index = int(binary.NativeEndian.Uint32(m.Data))
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_PKTINFO && len(m.Data) >= 20:
			index = int(binary.NativeEndian.Uint32(m.Data[16:]))
		case level == unix.IPPROTO_IPV6 && typ == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			hops = int(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return index, hops, nil
}
