package srproxy

import (
	"fmt"

	"github.com/cilium/ebpf"

	"heddle/bpf"
	"heddle/kernel/object"
)

// flagDestinationNAT is DESTINATION_NAT of bpf/srproxy.h.
const flagDestinationNAT = 1

// writeMasquerade makes the row of a SID with End.AM, whose packets go out by one link
// and come back on the other.
func (c *programs) writeMasquerade(o *object.Proxy, out, in int) error {
	sid := key(o.SID)
	if err := c.count(sid); err != nil {
		return err
	}
	entry := bpf.SRProxySid{IfaceIn: uint32(in), IfaceOut: uint32(out), Behavior: uint8(o.Behavior)}
	if o.DestinationNAT {
		entry.Flags = flagDestinationNAT
	}
	if err := c.Sids.Update(sid, entry, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write SID: %w", err)
	}
	return nil
}

// readMasquerade fills in what is of End.AM; nil: one of the links is gone.
func readMasquerade(p *object.Proxy, s *bpf.SRProxySid, net *network) (*object.Proxy, error) {
	p.DestinationNAT = s.Flags&flagDestinationNAT != 0
	for _, l := range []struct {
		index uint32
		name  *string
	}{{s.IfaceIn, &p.In}, {s.IfaceOut, &p.Out}} {
		name, there, err := net.numbered(int(l.index))
		if err != nil || !there {
			return nil, err
		}
		*l.name = name
	}
	return p, nil
}
