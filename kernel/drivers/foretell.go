package drivers

import (
	"context"
	"net"

	"heddle/kernel/iproute"
	"heddle/kernel/object"
	"heddle/reconcile"
)

var _ iproute.Kernel = (*Drivers)(nil)

// HopID implements iproute.Kernel.
func (d *Drivers) HopID(ctx context.Context, hop string, taken map[uint32]bool) (id uint32, there bool, err error) {
	return d.Net.HopID(ctx, hop, taken)
}

// Likeness implements iproute.Kernel.
func (d *Drivers) Likeness(ctx context.Context, link object.Link) (net.HardwareAddr, uint32, error) {
	return d.Net.Likeness(ctx, link)
}

// GivesBack implements iproute.Kernel.
func (d *Drivers) GivesBack(ctx context.Context, s reconcile.Step) (b iproute.GivenBack, err error) {
	switch s.Key().Kind {
	case object.KindSysctl:
		b.Params, err = d.sysctl.GivesBack(s.Key())
	case object.KindLinkConfig, object.KindMember:
		b.Link, err = d.Net.GivesBack(ctx, s)
	case object.KindTunnelSource:
		b.Source, b.HasSource, err = d.Net.SourceBefore(ctx)
	}
	return b, err
}
