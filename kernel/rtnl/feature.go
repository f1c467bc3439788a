package rtnl

import (
	"context"

	"heddle/kernel/object"
)

// Feature is something that not every kernel has.
type Feature string

// The features that objects need.
const (
	FeatureVRF           Feature = "vrf links"
	FeatureDummy         Feature = "dummy links"
	FeatureIFB           Feature = "ifb links"
	FeatureVeth          Feature = "veth links"
	FeatureVLAN          Feature = "vlan links"
	FeatureVLANService   Feature = "vlan links with service tags"
	FeatureGRE           Feature = "gre links"
	FeatureGRETap        Feature = "gretap links"
	FeatureIP6GRE        Feature = "ip6gre links"
	FeatureIP6GRETap     Feature = "ip6gretap links"
	FeatureVXLAN         Feature = "vxlan links"
	FeatureBridge        Feature = "bridge links"
	FeatureStrictMode    Feature = "vrf strict mode"
	FeatureEnd           Feature = "End"
	FeatureEndPSP        Feature = "flavor PSP of End"
	FeatureEndNextCSID   Feature = "flavor NEXT_CSID of End"
	FeatureEndX          Feature = "End.X"
	FeatureEndXNextCSID  Feature = "flavor NEXT_CSID of End.X"
	FeatureEndXOutLink   Feature = "End.X with an outgoing link"
	FeatureEndT          Feature = "End.T"
	FeatureEndDX2        Feature = "End.DX2"
	FeatureEndDX4        Feature = "End.DX4"
	FeatureEndDX6        Feature = "End.DX6"
	FeatureEndB6         Feature = "End.B6"
	FeatureEndB6Encaps   Feature = "End.B6.Encaps"
	FeatureEndDT6        Feature = "End.DT6 by table"
	FeatureEndDT6VRF     Feature = "End.DT6 by vrf"
	FeatureEndDT4        Feature = "End.DT4"
	FeatureEndDT46       Feature = "End.DT46"
	FeatureHInsert6      Feature = "inline insertion on IPv6 routes"
	FeatureHInsert4      Feature = "inline insertion on IPv4 routes"
	FeatureHEncaps6      Feature = "H.Encaps on IPv6 routes"
	FeatureHEncaps4      Feature = "H.Encaps on IPv4 routes"
	FeatureHEncapsRed6   Feature = "H.Encaps.Red on IPv6 routes"
	FeatureHEncapsRed4   Feature = "H.Encaps.Red on IPv4 routes"
	FeatureHEncapsL26    Feature = "H.Encaps.L2 on IPv6 routes"
	FeatureHEncapsL24    Feature = "H.Encaps.L2 on IPv4 routes"
	FeatureHEncapsL2Red6 Feature = "H.Encaps.L2.Red on IPv6 routes"
	FeatureHEncapsL2Red4 Feature = "H.Encaps.L2.Red on IPv4 routes"
	FeatureTunnelSource  Feature = "SRv6 tunnel source"
	FeatureEncapSource   Feature = "SRv6 tunnel source of a route"
	FeatureHMACSHA1      Feature = "HMAC keys with SHA-1"
	FeatureHMACSHA256    Feature = "HMAC keys with SHA-256"
	FeatureEncapHMAC     Feature = "HMAC of an encapsulation"
	FeatureMultipath     Feature = "multipath routes"
	FeatureGateway6Over4 Feature = "IPv4 routes with an IPv6 next hop"
	FeatureSharedHop6    Feature = "encapsulation shared by IPv6 routes"
	FeatureSharedHop4    Feature = "encapsulation shared by IPv4 routes"
	FeatureHopGroup      Feature = "group of nexthop objects with weights"
	FeatureProxy         Feature = "End.AS, End.AD and End.AM"
)

// Support tells what the kernel can do. kernel/probe has the real one.
type Support interface {
	// Supports is nil when the kernel takes and keeps f, an *UnsupportedError
	// when not, and another error when it could not be found out.
	Supports(ctx context.Context, f Feature) error
}

// Features lists what o needs beyond plain links, addresses and routes.
func Features(o object.Object) []Feature {
	switch o := o.(type) {
	case object.Link:
		return linkFeatures(o)
	case object.TunnelSource:
		return []Feature{FeatureTunnelSource}
	case object.HMACKey:
		if o.Algorithm == object.HMACSHA1 {
			return []Feature{FeatureHMACSHA1}
		}
		return []Feature{FeatureHMACSHA256}
	case object.Sysctl:
		if o.Link != "" && o.Name == object.SysctlLinkSeg6HMAC(o.Link) {
			return []Feature{FeatureHMACSHA256}
		}
		if o.Name == object.SysctlStrictMode {
			return []Feature{FeatureVRF, FeatureStrictMode}
		}
	case *object.LocalSID:
		return sidFeatures(o)
	case *object.Proxy, object.ProxyPort:
		return []Feature{FeatureProxy}
	case *object.SharedNextHop:
		return append(encapFeatures(o.Hop.Encap, false), FeatureSharedHop6)
	case *object.NextHopGroup:
		return []Feature{FeatureHopGroup}
	case *object.Route:
		return routeFeatures(o)
	}
	return nil
}

func linkFeatures(l object.Link) []Feature {
	switch l.Type {
	case object.LinkVRF:
		return []Feature{FeatureVRF}
	case object.LinkDummy:
		return []Feature{FeatureDummy}
	case object.LinkIFB:
		return []Feature{FeatureIFB}
	case object.LinkVeth:
		return []Feature{FeatureVeth}
	case object.LinkVLAN:
		if l.VLAN.Service {
			return []Feature{FeatureVLAN, FeatureVLANService}
		}
		return []Feature{FeatureVLAN}
	case object.LinkGRE:
		return []Feature{FeatureGRE}
	case object.LinkGRETap:
		return []Feature{FeatureGRETap}
	case object.LinkIP6GRE:
		return []Feature{FeatureIP6GRE}
	case object.LinkIP6GRETap:
		return []Feature{FeatureIP6GRETap}
	case object.LinkVXLAN:
		return []Feature{FeatureVXLAN}
	case object.LinkBridge:
		return []Feature{FeatureBridge}
	}
	return nil
}

func sidFeatures(s *object.LocalSID) []Feature {
	switch s.Behavior {
	case object.End:
		fs := []Feature{FeatureEnd}
		if s.Flavors&object.PSP != 0 {
			fs = append(fs, FeatureEndPSP)
		}
		if s.Flavors&object.NextCSID != 0 {
			fs = append(fs, FeatureEndNextCSID)
		}
		return fs
	case object.EndX:
		fs := []Feature{FeatureEndX}
		if s.OutLink != "" {
			fs = append(fs, FeatureEndXOutLink)
		}
		if s.Flavors&object.NextCSID != 0 {
			fs = append(fs, FeatureEndXNextCSID)
		}
		return fs
	case object.EndT:
		if s.VRF != "" {
			return []Feature{FeatureVRF, FeatureEndT}
		}
		return []Feature{FeatureEndT}
	case object.EndDX2:
		return []Feature{FeatureEndDX2}
	case object.EndDX4:
		return []Feature{FeatureEndDX4}
	case object.EndDX6:
		return []Feature{FeatureEndDX6}
	case object.EndB6:
		return []Feature{FeatureEndB6}
	case object.EndB6Encaps:
		return []Feature{FeatureEndB6Encaps}
	case object.EndDT6:
		if s.VRF == "" {
			return []Feature{FeatureEndDT6}
		}
		return []Feature{FeatureVRF, FeatureStrictMode, FeatureEndDT6VRF}
	case object.EndDT4:
		return []Feature{FeatureVRF, FeatureStrictMode, FeatureEndDT4}
	case object.EndDT46:
		return []Feature{FeatureVRF, FeatureStrictMode, FeatureEndDT46}
	}
	return nil
}

func routeFeatures(r *object.Route) []Feature {
	var fs []Feature
	if len(r.NextHops) > 1 {
		fs = append(fs, FeatureMultipath)
	}
	v4 := r.Prefix.Addr().Is4()
	if r.SharedHop != "" && v4 {
		fs = append(fs, FeatureSharedHop4)
	} else if r.SharedHop != "" {
		fs = append(fs, FeatureSharedHop6)
	}
	for _, n := range r.NextHops {
		if v4 && n.Gateway.Is6() {
			fs = append(fs, FeatureGateway6Over4)
		}
		fs = append(fs, encapFeatures(n.Encap, v4)...)
	}
	return fs
}

// encapFeatures is what an encapsulation of IPv4 or IPv6 needs.
func encapFeatures(e *object.Encap, v4 bool) []Feature {
	if e == nil {
		return nil
	}
	var f4, f6 Feature
	switch e.Mode {
	case object.HInsert:
		f4, f6 = FeatureHInsert4, FeatureHInsert6
	case object.HEncaps:
		f4, f6 = FeatureHEncaps4, FeatureHEncaps6
	case object.HEncapsRed:
		f4, f6 = FeatureHEncapsRed4, FeatureHEncapsRed6
	case object.HEncapsL2:
		f4, f6 = FeatureHEncapsL24, FeatureHEncapsL26
	case object.HEncapsL2Red:
		f4, f6 = FeatureHEncapsL2Red4, FeatureHEncapsL2Red6
	default:
		return nil
	}
	fs := []Feature{f6}
	if v4 {
		fs[0] = f4
	}
	if e.Source.IsValid() {
		fs = append(fs, FeatureEncapSource)
	}
	if e.HMACKey != 0 {
		fs = append(fs, FeatureEncapHMAC)
	}
	return fs
}
