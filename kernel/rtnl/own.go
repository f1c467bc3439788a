package rtnl

import (
	"context"
	"slices"

	"heddle/kernel/object"
)

// ownLinks are the links that the driver has made and deleted last, by index. The
// kernel does not say in an event who caused it.
type ownLinks struct{ made, ended ring }

// ring holds the last indices that were put into it.
type ring struct {
	last []int32
	next int
}

const ringSize = 8192

func (r *ring) put(index int32) {
	if len(r.last) < ringSize {
		r.last = append(r.last, index)
		return
	}
	r.last[r.next] = index
	r.next = (r.next + 1) % ringSize
}

// noteOwn puts l, and the other end of a veth, into one of the rings.
func (d *Driver) noteOwn(ctx context.Context, l object.Link, in *ring) {
	_ = d.links.with(ctx, func(v view) {
		for _, name := range []string{l.Name, l.Peer} {
			if have := v.byName[name]; have != nil {
				in.put(have.index)
			}
		}
	})
}

// Made reports whether the driver has made the link with this index, Ended whether
// it has deleted it, as far as it remembers: 8192 links back. Both wait for a
// change that is under way, so that they know of every event they are asked about.
func (d *Driver) Made(index int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.own.made.last, int32(index))
}

// Ended is explained at Made.
func (d *Driver) Ended(index int) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Contains(d.own.ended.last, int32(index))
}
