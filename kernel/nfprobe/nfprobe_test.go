package nfprobe_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	vnetns "github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"heddle/kernel/kerneltest"
	"heddle/kernel/nfprobe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// nf makes a namespace with an NF at the other end of a veth link, and gives the link.
func nf(t *testing.T) (index int) {
	t.Helper()
	kerneltest.Namespace(t)
	here, err := vnetns.Get()
	if err != nil {
		t.Fatal(err)
	}
	there, err := vnetns.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := vnetns.Set(here); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nf"}, PeerName: "e1", PeerNamespace: netlink.NsFd(there)}); err != nil {
		t.Skipf("needs veth links: %v", err)
	}
	other, err := netlink.NewHandleAt(there)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	own, err := netlink.NewHandle()
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	for _, end := range []struct {
		h         *netlink.Handle
		name      string
		addresses []string
	}{{other, "e1", []string{"192.168.1.2/24", "fd00::2/64"}}, {own, "nf", []string{"192.168.1.1/24", "fd00::1/64"}}} {
		l, err := end.h.LinkByName(end.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range end.addresses {
			addr, err := netlink.ParseAddr(a)
			if err != nil {
				t.Fatal(err)
			}
			addr.Flags = 2 // IFA_F_NODAD
			if err := end.h.AddrAdd(l, addr); err != nil {
				t.Fatal(err)
			}
		}
		if err := end.h.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
		index = l.Attrs().Index
	}
	return index
}

// TestProbes: an NF answers each kind of probe, and nobody answers for one that is not
// there.
func TestProbes(t *testing.T) {
	index := nf(t)
	replies := make(chan nfprobe.Reply, 16)
	p, err := nfprobe.Open(func(r nfprobe.Reply) { replies <- r })
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	const nobody = 4242 // the ID of those who are not there
	for name, target := range map[string]nfprobe.Target{
		"ARP":       {Kind: nfprobe.Neighbor, Addr: netip.MustParseAddr("192.168.1.2")},
		"ND":        {Kind: nfprobe.Neighbor, Addr: netip.MustParseAddr("fd00::2")},
		"ICMP":      {Kind: nfprobe.Echo, Addr: netip.MustParseAddr("192.168.1.2"), ID: 77},
		"ICMPv6":    {Kind: nfprobe.Echo, Addr: netip.MustParseAddr("fd00::2"), ID: 1<<63 | 5},
		"nobody":    {Kind: nfprobe.Neighbor, Addr: netip.MustParseAddr("192.168.1.9"), ID: nobody},
		"nobody v6": {Kind: nfprobe.Neighbor, Addr: netip.MustParseAddr("fd00::9"), ID: nobody},
	} {
		t.Run(name, func(t *testing.T) {
			target.Link, target.Index = "nf", index
			want := nfprobe.Reply{Kind: target.Kind, Addr: target.Addr, Index: index, ID: target.ID}
			expect, deadline := target.ID != nobody, time.After(10*time.Second)
			again := time.NewTicker(200 * time.Millisecond) // a link-local address needs its time
			defer again.Stop()
			sent := 0
			for {
				if err := p.Send(target); err == nil {
					sent++
				}
				select {
				case got := <-replies:
					if got != want {
						continue // to what was sent before
					}
					if !expect {
						t.Errorf("%+v", got)
					}
					return
				case <-again.C:
					if !expect && sent > 3 {
						return
					}
				case <-deadline:
					t.Fatalf("no reply to %d probes", sent)
				}
			}
		})
	}
}

// TestNoLink: what cannot be sent is an error, not silence.
func TestNoLink(t *testing.T) {
	kerneltest.Namespace(t)
	p, err := nfprobe.Open(func(nfprobe.Reply) {})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for _, a := range []string{"192.168.1.2", "fd00::2"} {
		for _, k := range []nfprobe.Kind{nfprobe.Neighbor, nfprobe.Echo} {
			if err := p.Send(nfprobe.Target{Kind: k, Addr: netip.MustParseAddr(a), Link: "none", Index: 4711}); err == nil {
				t.Errorf("%s is asked by a link that is not there", a)
			}
		}
	}
}
