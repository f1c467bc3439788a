package rtnl

import (
	"context"
	"net/netip"

	"golang.org/x/sys/unix"
)

// What a dump says of an object is nearly the message that makes it. The functions
// here leave out what the kernel adds (the state of next hops, times, counters) and
// what it takes from elsewhere, so that two objects with the same message are the
// same, and have at change the indices of links that are others by now.

// indexMap turns an index of a link into the one it has now; nil: the same.
type indexMap func(int32) int32

func (at indexMap) u32(index uint32) uint32 {
	if at == nil {
		return index
	}
	return uint32(at(int32(index)))
}

// attrU32 appends a, a u32 that is the index of a link.
func (m *msgBuf) attrIndex(a *attrs, at indexMap) {
	off := len(m.b)
	m.b = append(m.b, a.raw...)
	native.PutUint32(m.b[off+4:], at.u32(a.u32()))
}

// addressMessage appends the address b, with flags less those that the kernel sets.
// The lifetimes are the last attribute.
func addressMessage(m *msgBuf, b []byte, at indexMap, flags uint32, valid, preferred uint32) {
	off := len(m.b)
	m.b = append(m.b, b[:unix.SizeofIfAddrmsg]...)
	m.b[off+2] = uint8(flags)
	native.PutUint32(m.b[off+4:], at.u32(native.Uint32(b[4:])))
	for a := (attrs{rest: b[unix.SizeofIfAddrmsg:]}); a.next(); {
		switch a.typ {
		case unix.IFA_ADDRESS, unix.IFA_LOCAL, unix.IFA_LABEL, unix.IFA_BROADCAST, ifaRTPriority, ifaProto:
			m.b = append(m.b, a.raw...)
		}
	}
	m.u32(unix.IFA_FLAGS, flags)
	// struct ifa_cacheinfo: preferred, valid, created, updated.
	m.hdr(unix.IFA_CACHEINFO, 16)
	m.b = native.AppendUint32(m.b, preferred)
	m.b = native.AppendUint32(m.b, valid)
	m.b = append(m.b, make([]byte, 8)...)
}

// neighbourMessage appends the neighbour b.
func neighbourMessage(m *msgBuf, b []byte, at indexMap) {
	off := len(m.b)
	m.b = append(m.b, b[:sizeofNdmsg]...)
	h := m.b[off:]
	native.PutUint32(h[4:], at.u32(native.Uint32(b[4:])))
	h[10] &= unix.NTF_PROXY | unix.NTF_EXT_LEARNED | unix.NTF_ROUTER
	h[11] = 0
	for a := (attrs{rest: b[sizeofNdmsg:]}); a.next(); {
		switch a.typ {
		case unix.NDA_DST, unix.NDA_LLADDR, ndaProtocol, ndaFlagsExt:
			m.b = append(m.b, a.raw...)
		}
	}
}

// hopMessage appends the nexthop object or group b.
func hopMessage(m *msgBuf, b []byte, at indexMap) {
	off := len(m.b)
	m.b = append(m.b, b[:sizeofNhmsg]...)
	h := m.b[off:]
	h[1], h[3] = 0, 0 // scope and reserved
	native.PutUint32(h[4:], native.Uint32(b[4:])&unix.RTNH_F_ONLINK)
	for a := (attrs{rest: b[sizeofNhmsg:]}); a.next(); {
		switch a.typ {
		case nhaID, nhaGroup, nhaGroupType, nhaBlackhole, nhaGateway, nhaEncapType, nhaFDB:
			m.b = append(m.b, a.raw...)
		case nhaOIF:
			m.attrIndex(&a, at)
		case nhaEncap: // without the flag in a dump, refused without it (net/core/lwtunnel.c)
			m.bytes(nhaEncap|unix.NLA_F_NESTED, a.data)
		case nhaResGroup:
			nest := m.nest(nhaResGroup | unix.NLA_F_NESTED)
			for r := (attrs{rest: a.data}); r.next(); {
				if r.typ != nhaResUnbalancedTime && r.typ != 0 {
					m.b = append(m.b, r.raw...)
				}
			}
			m.unnest(nest)
		}
	}
}

// routeMessage appends the route b.
func routeMessage(m *msgBuf, b []byte, at indexMap) {
	off := len(m.b)
	m.b = append(m.b, b[:unix.SizeofRtMsg]...)
	native.PutUint32(m.b[off+8:], native.Uint32(b[8:])&unix.RTNH_F_ONLINK)
	body := b[unix.SizeofRtMsg:]
	byHop, encap := false, uint16(0)
	for a := (attrs{rest: body}); a.next(); {
		switch a.typ {
		case rtaNHID:
			byHop = true
		case unix.RTA_ENCAP_TYPE:
			encap = a.u16()
		}
	}
	for a := (attrs{rest: body}); a.next(); {
		switch a.typ {
		case unix.RTA_CACHEINFO, unix.RTA_PAD:
		case unix.RTA_OIF:
			if !byHop {
				m.attrIndex(&a, at)
			}
		case unix.RTA_GATEWAY, unix.RTA_VIA, unix.RTA_FLOW, unix.RTA_ENCAP_TYPE:
			if !byHop { // else it is the nexthop object's, shown for those who know none
				m.b = append(m.b, a.raw...)
			}
		case unix.RTA_ENCAP:
			if !byHop {
				m.encap(&a, encap, at)
			}
		case unix.RTA_MULTIPATH:
			if !byHop {
				m.multipath(&a, at)
			}
		default:
			m.b = append(m.b, a.raw...)
		}
	}
}

// multipath appends the next hops of a route.
func (m *msgBuf) multipath(a *attrs, at indexMap) {
	nest := m.nest(unix.RTA_MULTIPATH)
	eachNextHop(a.data, func(h []byte) {
		off := len(m.b)
		m.b = append(m.b, h[:unix.SizeofRtNexthop]...)
		m.b[off+2] &= unix.RTNH_F_ONLINK
		native.PutUint32(m.b[off+4:], at.u32(native.Uint32(h[4:])))
		encap := uint16(0)
		for n := (attrs{rest: h[unix.SizeofRtNexthop:]}); n.next(); {
			if n.typ == unix.RTA_ENCAP_TYPE {
				encap = n.u16()
			}
		}
		for n := (attrs{rest: h[unix.SizeofRtNexthop:]}); n.next(); {
			if n.typ == unix.RTA_ENCAP {
				m.encap(&n, encap, at)
			} else {
				m.b = append(m.b, n.raw...)
			}
		}
		native.PutUint16(m.b[off:], uint16(len(m.b)-off))
	})
	m.unnest(nest)
}

// eachNextHop calls fn with each struct rtnexthop and its attributes.
func eachNextHop(b []byte, fn func([]byte)) {
	for len(b) >= unix.SizeofRtNexthop {
		n := int(native.Uint16(b))
		if n < unix.SizeofRtNexthop || n > len(b) {
			return
		}
		fn(b[:n])
		b = b[min(align4(n), len(b)):]
	}
}

// encap appends an encapsulation; some name links.
func (m *msgBuf) encap(a *attrs, typ uint16, at indexMap) {
	if typ != encapSeg6Local {
		m.b = append(m.b, a.raw...)
		return
	}
	nest := m.nest(native.Uint16(a.raw[2:]))
	for e := (attrs{rest: a.data}); e.next(); {
		switch e.typ {
		case seg6LocalIIF, seg6LocalOIF:
			m.attrIndex(&e, at)
		case seg6LocalCounters:
			// They start from zero, as with any new route.
			m.nestZeroed(&e)
		default:
			m.b = append(m.b, e.raw...)
		}
	}
	m.unnest(nest)
}

// nestZeroed appends a nest of counters, all at zero.
func (m *msgBuf) nestZeroed(a *attrs) {
	off := len(m.b)
	m.b = append(m.b, a.raw...)
	for c := (attrs{rest: m.b[off+4:][:len(a.data)]}); c.next(); {
		clear(c.data)
	}
}

// outMessage is one message to send.
type outMessage struct {
	typ, flags uint16
	body       []byte
}

// sendEach sends messages in their order and returns the kernel's answer to each,
// nil for done. Those refused for a passing shortage are sent again.
func (d *Driver) sendEach(ctx context.Context, msgs []outMessage) []error {
	errs := make([]error, len(msgs))
	todo := make([]int, len(msgs))
	for i := range todo {
		todo[i] = i
	}
	delay := retryFirst
	for try := 0; len(todo) > 0; try++ {
		var again []int
		for rest := todo; len(rest) > 0; {
			batch := rest[:min(batchSize, len(rest))]
			rest = rest[len(batch):]
			for _, i := range batch {
				errs[i] = nil
			}
			err := d.query.pipeline(ctx, len(batch), func(m *msgBuf, i int, seq uint32) error {
				o := &msgs[batch[i]]
				m.begin(o.typ, o.flags, seq, 0)
				m.b = append(m.b, o.body...)
				m.end()
				return nil
			}, func(i int, m *message) {
				if m.typ != unix.NLMSG_ERROR {
					return
				}
				if a := m.ack(); a != nil {
					errs[batch[i]] = a
					if transient(a.errno) {
						again = append(again, batch[i])
					}
				}
			})
			if err != nil {
				for _, i := range batch {
					errs[i] = err
				}
			}
		}
		if todo = again; try == retryTimes || len(todo) > 0 && waitTimer(ctx, delay) != nil {
			break
		}
		delay = min(2*delay, retryMost)
	}
	return errs
}

// addrIn finds an address among the attributes of b.
func addrIn(b []byte, typ uint16) netip.Addr {
	for a := (attrs{rest: b}); a.next(); {
		if a.typ == typ {
			return a.addr()
		}
	}
	return netip.Addr{}
}
