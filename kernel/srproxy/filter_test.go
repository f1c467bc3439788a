package srproxy_test

import (
	"os"
	"strings"
	"testing"

	"heddle/kernel/object"
	"heddle/kernel/srproxy"
	"heddle/reconcile"
)

// TestFilterOfAll: where the kernel would drop what is opened, a proxy for IPv4 is
// refused; one for IPv6 is not, nor is a change of one that is there.
func TestFilterOfAll(t *testing.T) {
	each(t, func(t *testing.T, cfg srproxy.Config) {
		d := open(t, cfg)
		four, six, past := proxy(1), proxy(1), proxy(1)
		six.Inner, past.Mode = object.InnerIPv6, object.ProxyBypass
		for value, refused := range map[string]bool{"0": false, "1": true, "2": true} {
			if err := os.WriteFile("/proc/sys/net/ipv4/conf/all/rp_filter", []byte(value), 0); err != nil {
				t.Fatal(err)
			}
			err := d.Check(t.Context(), []reconcile.Step{{New: four}})
			if (err != nil) != refused || refused && !strings.Contains(err.Error(), "net.ipv4.conf.all.rp_filter is "+value) {
				t.Errorf("with %s: %v", value, err)
			}
			for _, s := range []reconcile.Step{{New: six}, {Old: four, New: past}} {
				if err := d.Check(t.Context(), []reconcile.Step{s}); err != nil {
					t.Errorf("with %s, %v: %v", value, s, err)
				}
			}
		}
	})
}
