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
	FeatureVeth          Feature = "veth links"
	FeatureStrictMode    Feature = "vrf strict mode"
	FeatureEnd           Feature = "End"
	FeatureEndX          Feature = "End.X"
	FeatureEndXOutLink   Feature = "End.X with an outgoing link"
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
	FeatureTunnelSource  Feature = "SRv6 tunnel source"
	FeatureMultipath     Feature = "multipath routes"
	FeatureGateway6Over4 Feature = "IPv4 routes with an IPv6 next hop"
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
	case object.Sysctl:
		if o.Name == object.SysctlStrictMode {
			return []Feature{FeatureVRF, FeatureStrictMode}
		}
	case *object.LocalSID:
		return sidFeatures(o)
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
	case object.LinkVeth:
		return []Feature{FeatureVeth}
	}
	return nil
}

func sidFeatures(s *object.LocalSID) []Feature {
	switch s.Behavior {
	case object.End:
		return []Feature{FeatureEnd}
	case object.EndX:
		if s.OutLink != "" {
			return []Feature{FeatureEndX, FeatureEndXOutLink}
		}
		return []Feature{FeatureEndX}
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
	for _, n := range r.NextHops {
		if v4 && n.Gateway.Is6() {
			fs = append(fs, FeatureGateway6Over4)
		}
		if n.Encap == nil {
			continue
		}
		switch {
		case n.Encap.Mode == object.HInsert && v4:
			fs = append(fs, FeatureHInsert4)
		case n.Encap.Mode == object.HInsert:
			fs = append(fs, FeatureHInsert6)
		case n.Encap.Mode == object.HEncaps && v4:
			fs = append(fs, FeatureHEncaps4)
		case n.Encap.Mode == object.HEncaps:
			fs = append(fs, FeatureHEncaps6)
		case n.Encap.Mode == object.HEncapsRed && v4:
			fs = append(fs, FeatureHEncapsRed4)
		case n.Encap.Mode == object.HEncapsRed:
			fs = append(fs, FeatureHEncapsRed6)
		}
	}
	return fs
}
