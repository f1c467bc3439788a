package srproxy

import (
	"fmt"
	"os"
	"strings"

	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

// checkFilter refuses a new proxy for IPv4 where the kernel drops what it opens. No route
// leads back to what was inside, so the links of a proxy have no filter; but the kernel
// takes the greater of a link's parameter and that of all (IN_DEV_RPFILTER in
// include/linux/inetdevice.h), which is not ours to weaken for other links.
func (d *Driver) checkFilter(s reconcile.Step) error {
	p, ok := s.New.(*object.Proxy)
	if !ok || s.Old != nil || p.Inner != object.InnerIPv4 || len(p.Links()) == 0 {
		return nil
	}
	var value []byte
	err := d.ns.Run(func() (err error) {
		value, err = os.ReadFile("/proc/sys/net/ipv4/conf/all/rp_filter")
		return err
	})
	if err != nil {
		return fmt.Errorf("read filter of all links: %w", err)
	}
	if v := strings.TrimSpace(string(value)); v != "0" {
		return &rtnl.UnfitError{Named: "parameter net.ipv4.conf.all.rp_filter", Reason: "is " + v + ", and with it the kernel drops the IPv4 packets that are to go to the NF",
			Remedy: "set it to 0, and that of each interface that is to be filtered to " + v}
	}
	return nil
}
