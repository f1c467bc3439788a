package srproxy_test

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"github.com/vishvananda/netlink"

	"heddle/kernel/kerneltest"
	"heddle/kernel/srproxy"
	"heddle/reconcile"
)

// BenchmarkProxies is what one proxy costs that comes and goes, beside others: it is not
// to depend on how many there are.
func BenchmarkProxies(b *testing.B) {
	for _, beside := range []int{10, 1000} {
		b.Run(fmt.Sprintf("one-beside-%d", beside), func(b *testing.B) {
			kerneltest.Namespace(b)
			cfg := srproxy.Config{Scope: fmt.Sprintf("bench-%d", os.Getpid())}
			d, err := srproxy.Open(cfg)
			if err != nil {
				b.Fatal(err)
			}
			defer d.Close()
			var steps, undo []reconcile.Step
			for i := range beside + 1 {
				name := fmt.Sprintf("nf%d", i)
				if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: "p" + name}); err != nil {
					b.Skipf("needs veth links: %v", err)
				}
				p := proxy(1)
				p.SID, p.In = netip.AddrFrom16([16]byte{0: 0xfc, 14: uint8(i >> 8), 15: uint8(i)}), name
				steps, undo = append(steps, reconcile.Step{New: p}), append(undo, reconcile.Step{Old: p})
			}
			run := func(s []reconcile.Step) {
				for i, r := range d.Do(b.Context(), s) {
					if r.Err != nil {
						b.Fatalf("%v: %v", s[i], r.Err)
					}
				}
			}
			run(steps[:beside])
			for b.Loop() {
				run(steps[beside:])
				run(undo[beside:])
			}
			run(undo[:beside])
			if _, err := os.Stat("/sys/fs/bpf/heddle/" + cfg.Scope); err == nil {
				b.Error("pins are left")
			}
		})
	}
}
