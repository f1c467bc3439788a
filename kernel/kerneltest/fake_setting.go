package kerneltest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// The properties of settings, as records name them.
const (
	propMTU    = "mtu"
	propAdmin  = "admin"
	propMaster = "master"
	propValue  = "value"
)

// globals are the parameters of a network namespace that exist without a link.
var globals = []string{object.SysctlStrictMode, object.SysctlNextHopCompat, object.SysctlForward4, "net/ipv6/seg6_flowlabel"}

// perLink are the parameters that every link has, and "all" and "default".
var perLink = []string{
	"net/ipv4/conf/forwarding", "net/ipv4/conf/promote_secondaries", "net/ipv4/conf/rp_filter",
	"net/ipv6/conf/forwarding", "net/ipv6/conf/seg6_enabled", "net/ipv6/conf/seg6_require_hmac", "net/ipv6/conf/accept_dad",
	"net/ipv6/conf/disable_ipv6", "net/ipv6/conf/keep_addr_on_down",
}

// linkOfSysctl is the link whose parameter it is; "all" and "default" are none.
func linkOfSysctl(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) != 5 || parts[2] != "conf" || parts[3] == "all" || parts[3] == "default" {
		return ""
	}
	return parts[3]
}

func (f *Fake) sysctlExists(name string) bool {
	if slices.Contains(globals, name) {
		return true
	}
	parts := strings.Split(name, "/")
	if len(parts) != 5 || !slices.Contains(perLink, strings.Join(slices.Delete(slices.Clone(parts), 3, 4), "/")) {
		return false
	}
	link := linkOfSysctl(name)
	return link == "" || f.links[link] != nil
}

// settings are what o sets, by property.
func settings(o object.Object) map[string]string {
	m := map[string]string{}
	switch o := o.(type) {
	case object.LinkConfig:
		if o.MTU != 0 {
			m[propMTU] = strconv.FormatUint(uint64(o.MTU), 10)
		}
		if o.Admin != object.AdminLeave {
			m[propAdmin] = o.Admin.String()
		}
	case object.Member:
		m[propMaster] = o.Master
	case object.Sysctl:
		m[propValue] = o.Value
	case object.TunnelSource:
		m[propValue] = o.Source.String()
	}
	return m
}

// linkOfSetting is the link that k is about; nil, true where there is none.
func (f *Fake) linkOfSetting(k object.Key) (l *fakeLink, ok bool) {
	name := k.ID
	switch k.Kind {
	case object.KindSysctl:
		if name = linkOfSysctl(k.ID); name == "" {
			return nil, true
		}
	case object.KindTunnelSource:
		return nil, true
	}
	l = f.links[name]
	return l, l != nil
}

// live reports whether the record of k is still about what is there: a link of
// the same name may be another one.
func (f *Fake) live(k object.Key) bool {
	r, ok := f.records[k]
	l, there := f.linkOfSetting(k)
	return ok && there && (l == nil || l.index == r.index) && (k.Kind != object.KindMember || l.master != nil)
}

// current reads the property p of k.
func (f *Fake) current(k object.Key, p string) string {
	l, _ := f.linkOfSetting(k)
	switch p {
	case propMTU:
		return strconv.FormatUint(uint64(l.mtu), 10)
	case propAdmin:
		if l.up {
			return object.AdminUp.String()
		}
		return object.AdminDown.String()
	case propMaster:
		if l.master == nil {
			return ""
		}
		return l.master.name
	}
	if k.Kind == object.KindTunnelSource {
		if !f.tunsrc.IsValid() {
			return ""
		}
		return f.tunsrc.String()
	}
	if v, ok := f.sysctls[k.ID]; ok {
		return v
	}
	return "0"
}

// set writes the property p of k.
func (f *Fake) set(k object.Key, p, value string) {
	l, _ := f.linkOfSetting(k)
	switch {
	case p == propMTU:
		n, _ := strconv.ParseUint(value, 10, 32)
		if l.kind == object.LinkVLAN { // what is given back may be more than the parent has now
			n = min(n, uint64(l.parent.mtu))
		}
		f.setMTU(l, uint32(n))
	case p == propAdmin:
		f.setUp(l, value == object.AdminUp.String())
	case p == propMaster:
		f.enslave(l, value)
	case k.Kind == object.KindTunnelSource:
		f.tunsrc, _ = netip.ParseAddr(value)
	case value == "0":
		delete(f.sysctls, k.ID)
	default:
		f.sysctls[k.ID] = value
	}
}

// byMTU is the order in which a batch of settings is made: what shrinks does so
// from the top, the rest is done from below.
func (f *Fake) byMTU(steps []reconcile.Step) []int {
	rank := func(i int) int {
		o, _ := about(steps[i]).(object.LinkConfig)
		l := f.links[o.Link]
		if l == nil {
			return 0
		}
		to := l.mtu
		if c, ok := steps[i].New.(object.LinkConfig); ok && c.MTU != 0 {
			to = c.MTU
		} else if r, ok := f.records[o.Key()]; ok && r.before[propMTU] != "" {
			n, _ := strconv.ParseUint(r.before[propMTU], 10, 32)
			to = uint32(n)
		}
		if to < l.mtu {
			return -1 - l.depth()
		}
		return l.depth()
	}
	order := make([]int, len(steps))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return rank(a) - rank(b) })
	return order
}

// check is what the kernel says to setting o.
func (f *Fake) check(o object.Object) error {
	l, there := f.linkOfSetting(o.Key())
	switch o := o.(type) {
	case object.Sysctl:
		if !f.sysctlExists(o.Name) {
			return syscall.ENOENT
		}
		if _, err := strconv.Atoi(o.Value); err != nil || o.Name == object.SysctlStrictMode && o.Value != "0" && o.Value != "1" {
			return syscall.EINVAL
		}
		return nil
	case object.TunnelSource:
		if !o.Source.Is6() || o.Source.Is4In6() {
			return syscall.EINVAL
		}
		return nil
	}
	if !there {
		return syscall.ENODEV
	}
	switch o := o.(type) {
	case object.LinkConfig:
		if o.MTU != 0 && (o.MTU < 68 || o.MTU > 65575) {
			return fmt.Errorf("mtu out of range: %w", syscall.EINVAL)
		}
		if l.kind == object.LinkVLAN && o.MTU > l.parent.mtu {
			return fmt.Errorf("mtu %d is more than that of %s: %w", o.MTU, l.parent.name, syscall.ERANGE)
		}
	case object.Member:
		switch m := f.links[o.Master]; {
		case m == nil:
			return fmt.Errorf("master %s: %w", o.Master, syscall.ENODEV)
		case m.kind == object.LinkBridge && (l.kind == object.LinkBridge || l.name == "lo" || l.parent == m):
			return says("Can not enslave a bridge to a bridge", syscall.ELOOP)
		case m.kind == object.LinkBridge:
			return nil
		case m.kind != object.LinkVRF:
			return fmt.Errorf("master %s is no vrf: %w", o.Master, syscall.EOPNOTSUPP)
		case l.kind == object.LinkVRF || l.name == "lo":
			return says("Can not enslave an L3 master device", syscall.EINVAL)
		}
	}
	return nil
}

// apply sets o without a record.
func (f *Fake) apply(o object.Object) error {
	if err := f.check(o); err != nil {
		return err
	}
	for _, p := range []string{propMTU, propAdmin, propMaster, propValue} {
		if v, ok := settings(o)[p]; ok && f.current(o.Key(), p) != v {
			f.set(o.Key(), p, v)
		}
	}
	return nil
}

// setOver sets o and records what was there; what old set and o does not is
// given back.
func (f *Fake) setOver(old, o object.Object) error {
	k := o.Key()
	if err := f.check(o); err != nil {
		return err
	}
	r, recorded := f.records[k]
	recorded = recorded && f.live(k)
	switch {
	case old == nil && recorded && f.held(r):
		return syscall.EEXIST
	case old != nil && !recorded:
		return syscall.ENOENT
	}
	if m, ok := o.(object.Member); ok {
		if now := f.links[m.Link].master; now != nil && now.name != m.Master {
			return fmt.Errorf("is a member of %s, which is not ours to change: %w", now.name, syscall.EBUSY)
		}
	}
	next := record{object: o, before: map[string]string{}}
	if l, _ := f.linkOfSetting(k); l != nil {
		next.index = l.index
	}
	wanted := settings(o)
	for p := range wanted {
		next.before[p] = f.current(k, p)
		if was, ok := r.before[p]; ok && recorded {
			next.before[p] = was
		}
	}
	if recorded {
		for p, was := range r.before {
			if _, ok := wanted[p]; !ok {
				f.set(k, p, was)
			}
		}
	}
	f.records[k] = next
	return f.apply(o)
}

// held reports whether what the record says we set is still set.
func (f *Fake) held(r record) bool {
	for p, value := range settings(r.object) {
		if f.current(r.object.Key(), p) != value {
			return false
		}
	}
	return true
}

// giveBack ends a setting: what we set and nobody changed since goes back to what
// it was.
func (f *Fake) giveBack(k object.Key) {
	r := f.records[k]
	if f.live(k) {
		for p, value := range settings(r.object) {
			if f.current(k, p) == value {
				f.set(k, p, r.before[p])
			}
		}
	}
	delete(f.records, k)
}

// getSetting reads what is set under k: of the properties of a link those that we
// set or, where we set nothing, all.
func (f *Fake) getSetting(k object.Key) (object.Object, bool) {
	if _, there := f.linkOfSetting(k); !there {
		return nil, false
	}
	switch k.Kind {
	case object.KindSysctl:
		if !f.sysctlExists(k.ID) {
			return nil, false
		}
		return object.Sysctl{Name: k.ID, Value: f.current(k, propValue), Link: linkOfSysctl(k.ID)}, true
	case object.KindTunnelSource:
		return object.TunnelSource{Source: f.tunsrc}, f.tunsrc.IsValid()
	case object.KindMember:
		master := f.current(k, propMaster)
		return object.Member{Link: k.ID, Master: master}, master != ""
	case object.KindLinkConfig:
		l, c := f.links[k.ID], object.LinkConfig{Link: k.ID}
		set := map[string]string{propMTU: "", propAdmin: ""}
		if r, ok := f.records[k]; ok && f.live(k) {
			set = settings(r.object)
		}
		if _, ok := set[propMTU]; ok {
			c.MTU = l.mtu
		}
		if _, ok := set[propAdmin]; ok {
			c.Admin = object.AdminDown
			if l.up {
				c.Admin = object.AdminUp
			}
		}
		return c, true
	}
	return nil, false
}
