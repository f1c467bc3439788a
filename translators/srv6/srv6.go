// Package srv6 translates .../segment-routing/srv6 of the default instance: the
// source of encapsulations, the interfaces that take packets with a segment
// routing header, the locators and the SIDs (RFC 8986).
//
// SIDs are routes of the main table on a link of their own (sid-interface). A
// locator is a blackhole route of its prefix, so that a packet to a SID that is
// not there ends here, instead of following a default route back to where it
// came from.
package srv6

import (
	"errors"
	"fmt"

	"heddle/gen/config"
	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
)

var behaviors = map[translators.Behavior]object.Behavior{
	translators.BehaviorEnd:         object.End,
	translators.BehaviorEndX:        object.EndX,
	translators.BehaviorEndT:        object.EndT,
	translators.BehaviorEndDX2:      object.EndDX2,
	translators.BehaviorEndDX4:      object.EndDX4,
	translators.BehaviorEndDX6:      object.EndDX6,
	translators.BehaviorEndDT4:      object.EndDT4,
	translators.BehaviorEndDT6:      object.EndDT6,
	translators.BehaviorEndDT46:     object.EndDT46,
	translators.BehaviorEndB6:       object.EndB6,
	translators.BehaviorEndB6Encaps: object.EndB6Encaps,
}

// Units are what concerns the node, and each interface, locator and SID.
func Units(m *translators.Model) []translators.Unit {
	return []translators.Unit{
		{List: m.Instance, Translate: node},
		{List: m.SRv6Interface, Translate: srv6Interface},
		{List: m.HMACKey, Translate: hmacKey},
		{List: m.Locator, Translate: locator},
		{List: m.SID, Translate: sid},
		{List: m.DynamicSID, Translate: dynamicSID},
	}
}

// Ripples: a SID depends on its instance and interface, on the link that its next hop
// is on and on the one that carries it; a dynamic one on its locator; all of SRv6 on
// the default instance.
func Ripples(m *translators.Model) []translators.Ripple {
	ripples := m.OnSIDLink(func(v translators.View, redo func(schema.EntryKey)) {
		translators.Each(v, v.DefaultKey(), m.SID, redoEach[*translators.SID](redo))
		translators.Each(v, v.DefaultKey(), m.DynamicSID, redoEach[*translators.DynamicSID](redo))
	})
	ripples = append(ripples, translators.Ripple{List: m.Locator, Affected: onLocator(m)})
	ripples = append(ripples, m.OnInterface(
		func(v translators.View, _ string, key schema.EntryKey, redo func(schema.EntryKey)) {
			v.Referrers(key, redoSID(m, redo))
		})...)
	ripples = append(ripples, m.OnSubnet(translators.View.SIDHopsIn)...)
	ripples = append(ripples,
		translators.Ripple{List: m.Interface, Affected: onType(m)},
		m.OnProxies(func(v translators.View, redo func(schema.EntryKey)) {
			translators.Each(v, v.DefaultKey(), m.SRv6Interface, redoEach[*translators.SRv6Interface](redo))
		}),
		m.OnNodeSource(func(v translators.View, redo func(schema.EntryKey)) {
			v.Proxies(func(k schema.EntryKey) bool {
				redo(k)
				return true
			})
		}))
	return append(ripples, m.OnInstance(
		func(v translators.View, key schema.EntryKey, redo func(schema.EntryKey)) {
			v.Referrers(key, redoSID(m, redo))
			translators.Each(v, key, m.SRv6Interface, redoEach[*translators.SRv6Interface](redo))
			translators.Each(v, key, m.Locator, redoEach[*translators.Locator](redo))
			translators.Each(v, key, m.SID, redoEach[*translators.SID](redo))
			translators.Each(v, key, m.DynamicSID, redoEach[*translators.DynamicSID](redo))
		}))
}

func redoEach[T schema.GoStruct](redo func(schema.EntryKey)) func(schema.EntryKey, T) bool {
	return func(k schema.EntryKey, _ T) bool {
		redo(k)
		return true
	}
}

func redoSID(m *translators.Model, redo func(schema.EntryKey)) func(schema.EntryKey) bool {
	return func(k schema.EntryKey) bool {
		if k.List() == m.SID.ListID || k.List() == m.DynamicSID.ListID {
			redo(k)
		}
		return true
	}
}

// onType: the SRv6 of an interface that changes its type.
func onType(m *translators.Model) func(translators.View, schema.Change, func(schema.EntryKey)) {
	return func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*translators.Interface)
		after, _ := c.New.(*translators.Interface)
		if before == nil || after == nil || before.Type == after.Type {
			return
		}
		if k, err := m.Key(v.DefaultKey(), m.SRv6Interface, c.Key.Values()[0]); err == nil {
			redo(k)
		}
	}
}

// onLocator: the SIDs whose functions it has, when it is built otherwise.
func onLocator(m *translators.Model) func(translators.View, schema.Change, func(schema.EntryKey)) {
	return func(v translators.View, c schema.Change, redo func(schema.EntryKey)) {
		before, _ := c.Old.(*translators.Locator)
		after, _ := c.New.(*translators.Locator)
		if before != nil && after != nil && translators.StructureOf(before) != translators.StructureOf(after) {
			v.Referrers(c.Key, redoSID(m, redo))
		}
	}
}

func node(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	ni := entry.(*translators.Instance)
	s := translators.SRv6(ni)
	if s == nil || s.SourceAddress == nil || translators.InstanceDown(ni) != "" {
		return nil
	}
	out.Own(object.TunnelSource{Source: translators.Addr(s.SourceAddress)})
	return nil
}

// withheld reports, and records, that the instance of an entry is not in the
// kernel.
func withheld(v translators.View, key schema.EntryKey, out *translators.Result) (bool, error) {
	_, ni, ok := v.InstanceOf(key)
	if !ok {
		return false, errors.New("SRv6 needs the network instance it is in")
	}
	down := translators.InstanceDown(ni)
	if down != "" {
		out.Withhold(key, down)
	}
	return down != "", nil
}

func srv6Interface(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	i := entry.(*translators.SRv6Interface)
	if down, err := withheld(v, key, out); err != nil || down {
		return err
	}
	link := translators.Str(i.InterfaceId)
	if value := hmacPolicies[i.HmacPolicy]; value != "" {
		out.Own(object.Sysctl{Name: object.SysctlLinkSeg6HMAC(link), Value: value, Link: link})
	}
	if !translators.On(i.Enabled) {
		return nil
	}
	out.Own(object.Sysctl{Name: object.SysctlLinkSeg6Enabled(link), Value: "1", Link: link})
	// The kernel takes the lower of the two.
	out.Share(object.Sysctl{Name: object.SysctlSeg6Enabled, Value: "1"})
	port(v, link, out)
	return nil
}

// hmacPolicies are the values of seg6_require_hmac.
var hmacPolicies = map[config.E_Interface_HmacPolicy]string{
	translators.HMACIgnore: "-1", translators.HMACOptional: "0", translators.HMACRequired: "1",
}

// hmacKey: keys are the node's, so they are there also while the instance is disabled.
func hmacKey(_ translators.View, _ schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	k := entry.(*translators.HMACKey)
	if k.KeyId == nil || k.SecretKey == nil {
		return errors.New("a key needs a number and a secret")
	}
	algorithm := object.HMACSHA256
	if k.CryptoAlgorithm == translators.HMACSHA1 {
		algorithm = object.HMACSHA1
	}
	out.Own(object.HMACKey{ID: *k.KeyId, Algorithm: algorithm, Secret: object.Secret(*k.SecretKey)})
	return nil
}

func locator(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	l := entry.(*translators.Locator)
	if down, err := withheld(v, key, out); err != nil || down {
		return err
	}
	prefix := translators.Prefix(l.Prefix)
	if !prefix.IsValid() {
		return errors.New("a locator needs config/prefix")
	}
	// A compressed SID may be the whole locator, so the metric is not that of SIDs.
	out.Own(&object.Route{Table: object.TableMain, Prefix: prefix.Masked(), Metric: object.LastMetric, Type: object.Blackhole})
	return nil
}

func dynamicSID(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	s := v.AsSID(entry.(*translators.DynamicSID))
	if s.Address == nil {
		return errors.New("a dynamic SID needs a function that its locator has a place for")
	}
	return sid(v, key, s, out)
}

func sid(v translators.View, key schema.EntryKey, entry schema.GoStruct, out *translators.Result) error {
	s := entry.(*translators.SID)
	if down, err := withheld(v, key, out); err != nil || down {
		return err
	}
	if b, ok := proxies[s.Behavior]; ok {
		return proxy(v, key, s, b, out)
	}
	action, ok := behaviors[s.Behavior]
	if !ok {
		return fmt.Errorf("a SID needs config/behavior, not %q", translators.EnumName(s.Behavior))
	}
	local := &object.LocalSID{SID: translators.Addr(s.Address), Table: object.TableMain, Behavior: action}
	flavors(s.Flavors, local)
	down, err := parameters(v, s, local)
	if err != nil {
		return err
	}
	if down != "" {
		out.Withhold(key, down)
		return nil
	}
	// Asked for last: what is withheld needs no link to be on.
	if local.Dev, down = v.ShareSIDLink(out); down != "" {
		out.Withhold(key, down)
		return nil
	}
	if local.VRF != "" && action != object.EndT {
		out.ShareStrictMode()
	}
	out.ShareForwarding()
	out.Own(local)
	return nil
}

func flavors(f *translators.Flavors, local *object.LocalSID) {
	if f == nil {
		return
	}
	for _, one := range f.Flavor {
		switch one {
		case translators.FlavorPSP:
			local.Flavors |= object.PSP
		case translators.FlavorNextCSID:
			local.Flavors |= object.NextCSID
			local.BlockLength, local.NodeFunctionLength = translators.CSIDLengths(f)
		}
	}
}

// parameters fills in what belongs to the behaviour of a SID; down says why it
// cannot be carried out.
func parameters(v translators.View, s *translators.SID, local *object.LocalSID) (down string, err error) {
	switch local.Behavior {
	case object.EndX, object.EndDX2, object.EndDX4, object.EndDX6:
		local.NextHop, local.OutLink = translators.Addr(s.NextHop), translators.Str(s.Interface)
		link := local.OutLink
		if link == "" && local.Behavior == object.EndX {
			// The kernel finds it for each packet, so that the SID follows by itself.
			link = v.LinkTo(v.DefaultKey(), local.NextHop)
		}
		if link != "" {
			down = v.InterfaceDown(link)
		}
	case object.EndT, object.EndDT4, object.EndDT6, object.EndDT46:
		ni, ok := v.InstanceNamed(translators.Str(s.NetworkInstance))
		if !ok {
			return "", fmt.Errorf("network instance %q is not configured", translators.Str(s.NetworkInstance))
		}
		down = translators.InstanceDown(ni)
		local.VRFTable, local.VRF = translators.Table(ni)
	case object.EndB6, object.EndB6Encaps:
		mode := object.HEncaps
		if local.Behavior == object.EndB6 {
			mode = object.HInsert
		}
		if s.Policy == nil || len(s.Policy.SegmentList) == 0 {
			return "", fmt.Errorf("a SID with %s needs policy/config/segment-list", local.Behavior)
		}
		if local.Policy = v.Encap(mode, s.Policy.SegmentList); local.Policy == nil {
			return "", fmt.Errorf("a segment of %q is no address", s.Policy.SegmentList)
		}
	}
	return down, nil
}
