package translators

import (
	"fmt"
	"net/netip"

	"github.com/openconfig/ygot/ygot"

	"heddle/gen/config"
	"heddle/kernel/object"
	"heddle/schema"
)

// DefaultInstance is the name of the instance whose routes are in the main
// table. An instance of this name is of type DEFAULT_INSTANCE and no other is.
const DefaultInstance = "DEFAULT"

// Names of the generated identities that translators and rules speak of.
const (
	TypeUnset            = config.HeddleInterfaceTypes_INTERFACE_TYPE_UNSET
	TypeDummy            = config.HeddleInterfaceTypes_INTERFACE_TYPE_DUMMY
	TypeVeth             = config.HeddleInterfaceTypes_INTERFACE_TYPE_VETH
	TypeEthernet         = config.HeddleInterfaceTypes_INTERFACE_TYPE_ethernetCsmacd
	TypeSoftwareLoopback = config.HeddleInterfaceTypes_INTERFACE_TYPE_softwareLoopback
	TypeVLAN             = config.HeddleInterfaceTypes_INTERFACE_TYPE_l2vlan
	TypeBridge           = config.HeddleInterfaceTypes_INTERFACE_TYPE_bridge
	TypeTunnel           = config.HeddleInterfaceTypes_INTERFACE_TYPE_tunnel
	TypeGRETap           = config.HeddleInterfaceTypes_INTERFACE_TYPE_GRETAP
	TypeVXLAN            = config.HeddleInterfaceTypes_INTERFACE_TYPE_VXLAN

	TPIDService = config.HeddleVlanTypes_TPID_TYPES_TPID_0X88A8

	InstanceUnset   = config.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_UNSET
	InstanceDefault = config.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_DEFAULT_INSTANCE
	InstanceL3VRF   = config.HeddleNetworkInstanceTypes_NETWORK_INSTANCE_TYPE_L3VRF

	ProtocolStatic = config.HeddlePolicyTypes_INSTALL_PROTOCOL_TYPE_STATIC

	NextHopDrop      = config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_DROP
	NextHopLocalLink = config.HeddleLocalRoutingTypes_LOCAL_DEFINED_NEXT_HOP_LOCAL_LINK

	BehaviorEnd         = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END
	BehaviorEndX        = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_X
	BehaviorEndT        = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_T
	BehaviorEndDX2      = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX2
	BehaviorEndDX4      = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX4
	BehaviorEndDX6      = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DX6
	BehaviorEndDT4      = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT4
	BehaviorEndDT6      = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT6
	BehaviorEndDT46     = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_DT46
	BehaviorEndB6       = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_B6
	BehaviorEndAS       = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AS
	BehaviorEndAD       = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AD
	BehaviorEndAM       = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_AM
	BehaviorEndB6Encaps = config.HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR_END_B6_ENCAPS

	InnerUnset = config.Proxy_InnerType_UNSET
	InnerIPv4  = config.Proxy_InnerType_IPV4
	InnerIPv6  = config.Proxy_InnerType_IPV6
	InnerEther = config.Proxy_InnerType_ETHERNET

	ProbeUnset    = config.Liveness_Probe_UNSET
	ProbeNone     = config.Liveness_Probe_NONE
	ProbeLink     = config.Liveness_Probe_LINK
	ProbeNeighbor = config.Liveness_Probe_NEIGHBOR
	ProbeICMP     = config.Liveness_Probe_ICMP

	DownUnset   = config.Liveness_WhenDown_UNSET
	DownDrop    = config.Liveness_WhenDown_DROP
	DownBypass  = config.Liveness_WhenDown_BYPASS
	DownStandby = config.Liveness_WhenDown_STANDBY

	FlavorPSP      = config.HeddleSrv6_SRV6_ENDPOINT_FLAVOR_PSP
	FlavorNextCSID = config.HeddleSrv6_SRV6_ENDPOINT_FLAVOR_NEXT_CSID

	HMACSHA1     = config.HeddleSrv6_SRV6_HMAC_ALGORITHM_HMAC_SHA_1
	HMACIgnore   = config.Interface_HmacPolicy_IGNORE
	HMACOptional = config.Interface_HmacPolicy_OPTIONAL
	HMACRequired = config.Interface_HmacPolicy_REQUIRED

	ModeUnset      = config.HeddleSrv6_SRV6_HEADEND_MODE_UNSET
	ModeEncaps     = config.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS
	ModeEncapsRed  = config.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_RED
	ModeL2         = config.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_L2
	ModeL2Red      = config.HeddleSrv6_SRV6_HEADEND_MODE_H_ENCAPS_L2_RED
	ModeInsert     = config.HeddleSrv6_SRV6_HEADEND_MODE_H_INSERT
	defaultSIDLink = "sr0"
)

// The entries that translators read, by shorter names.
type (
	Interface     = config.Interface
	Subinterface  = config.Interface_Subinterface
	Address4      = config.Interface_Subinterface_Ipv4_Address
	Address6      = config.Interface_Subinterface_Ipv6_Address
	Neighbour4    = config.Interface_Subinterface_Ipv4_Neighbor
	Neighbour6    = config.Interface_Subinterface_Ipv6_Neighbor
	Instance      = config.NetworkInstance
	Member        = config.NetworkInstance_Interface
	Protocol      = config.NetworkInstance_Protocol
	Static        = config.NetworkInstance_Protocol_Static
	NextHop       = config.NetworkInstance_Protocol_Static_NextHop
	SRv6Interface = config.NetworkInstance_SegmentRouting_Srv6_Interface
	Locator       = config.NetworkInstance_SegmentRouting_Srv6_Locator
	SID           = config.NetworkInstance_SegmentRouting_Srv6_Sid
	InnerType     = config.E_Proxy_InnerType
	Liveness      = config.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy_Liveness
	Proxy         = config.NetworkInstance_SegmentRouting_Srv6_Sid_Proxy
	DynamicSID    = config.NetworkInstance_SegmentRouting_Srv6_DynamicSid
	HMACKey       = config.NetworkInstance_SegmentRouting_Srv6_HmacKey
	SegmentList   = config.NetworkInstance_SegmentRouting_Srv6_SegmentList
	Policy        = config.NetworkInstance_SegmentRouting_Srv6_Policy
	CandidatePath = config.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath
	WeightedList  = config.NetworkInstance_SegmentRouting_Srv6_Policy_CandidatePath_SegmentList

	sidPolicy   = config.NetworkInstance_SegmentRouting_Srv6_Sid_Policy
	Flavors     = config.NetworkInstance_SegmentRouting_Srv6_Sid_Flavors
	Behavior    = config.E_HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR
	Flavor      = config.E_HeddleSrv6_SRV6_ENDPOINT_FLAVOR
	Mode        = config.E_HeddleSrv6_SRV6_HEADEND_MODE
	UnionString = config.UnionString // an address as next hop
)

// Model is the schema with the lists that translators and rules know by name.
type Model struct {
	*schema.Schema

	Interface, Subinterface, Address4, Address6 *schema.Node
	Neighbour4, Neighbour6                      *schema.Node
	Instance, Member                            *schema.Node
	Protocol, Static, NextHop                   *schema.Node
	SRv6Interface, Locator, SID, DynamicSID     *schema.Node
	HMACKey                                     *schema.Node
	SegmentList, Policy, CandidatePath          *schema.Node
	WeightedList                                *schema.Node

	defaultKey schema.EntryKey
	kernel     Kernel
}

// Kernel is what translators have to know of the kernel. It does not change in
// the life of an engine; the zero value is one that lacks nothing.
type Kernel struct {
	// OwnEncap4 and OwnEncap6 have each IPv4 and IPv6 route carry its
	// encapsulation itself: the kernel cannot have them share one.
	OwnEncap4, OwnEncap6 bool

	// SIDLinkIFB makes the link that carries the SIDs an ifb in place of a dummy.
	SIDLinkIFB bool
}

// For is the model as it is translated for a kernel.
func (m *Model) For(k Kernel) *Model {
	its := *m
	its.kernel = k
	return &its
}

// NewModel finds the lists in a schema. It fails if one is missing.
func NewModel(s *schema.Schema) (*Model, error) {
	m := &Model{Schema: s}
	var err error
	list := func(parent *schema.Node, names ...string) *schema.Node {
		n := parent
		for _, name := range names {
			if n != nil {
				n = n.Child(name)
			}
		}
		if n == nil && err == nil {
			err = fmt.Errorf("find list %v in the schema: no such node", names)
		}
		return n
	}
	m.Interface = list(s.Root(), "interfaces", "interface")
	m.Subinterface = list(m.Interface, "subinterfaces", "subinterface")
	m.Address4 = list(m.Subinterface, "ipv4", "addresses", "address")
	m.Address6 = list(m.Subinterface, "ipv6", "addresses", "address")
	m.Neighbour4 = list(m.Subinterface, "ipv4", "neighbors", "neighbor")
	m.Neighbour6 = list(m.Subinterface, "ipv6", "neighbors", "neighbor")
	m.Instance = list(s.Root(), "network-instances", "network-instance")
	m.Member = list(m.Instance, "interfaces", "interface")
	m.Protocol = list(m.Instance, "protocols", "protocol")
	m.Static = list(m.Protocol, "static-routes", "static")
	m.NextHop = list(m.Static, "next-hops", "next-hop")
	m.SRv6Interface = list(m.Instance, "segment-routing", "srv6", "interfaces", "interface")
	m.Locator = list(m.Instance, "segment-routing", "srv6", "locators", "locator")
	m.SID = list(m.Instance, "segment-routing", "srv6", "sids", "sid")
	m.DynamicSID = list(m.Instance, "segment-routing", "srv6", "dynamic-sids", "dynamic-sid")
	m.HMACKey = list(m.Instance, "segment-routing", "srv6", "hmac-keys", "hmac-key")
	m.SegmentList = list(m.Instance, "segment-routing", "srv6", "segment-lists", "segment-list")
	m.Policy = list(m.Instance, "segment-routing", "srv6", "policies", "policy")
	m.CandidatePath = list(m.Policy, "candidate-paths", "candidate-path")
	m.WeightedList = list(m.CandidatePath, "segment-lists", "segment-list")
	if err != nil {
		return nil, err
	}
	if m.defaultKey, err = s.Key("", m.Instance, DefaultInstance); err != nil {
		return nil, fmt.Errorf("make the key of instance %s: %w", DefaultInstance, err)
	}
	return m, nil
}

// View is one snapshot, read by names.
type View struct {
	*Model
	Reader

	*memo
}

// memo is what a View has found out: thousands of units ask for the same few
// entries.
type memo struct {
	sidLink sidLinkState
	encaps  map[string]*object.Encap // by mode, source and segments
	hops    map[hopKey]*object.SharedNextHop
	throws  map[throwKey]*object.Route
	ways    []Way // of NextHopsOf
	addWay  func(schema.EntryKey, schema.GoStruct) bool
	above   map[schema.EntryKey]schema.GoStruct // entries that others are in or refer to
	down    map[string]string                   // answers of InterfaceDown
	links   map[neighbour]string                // answers of LinkTo

	facts     *facts
	firstHops map[netip.Addr]FirstHop // answers of FirstHop
	firsts    *bool                   // answer of HasFirsts
}

// HasAny reports whether there is an entry at all.
func (v View) HasAny() (has bool) {
	v.Scan("", func(schema.EntryKey, schema.GoStruct) bool {
		has = true
		return false
	})
	return has
}

// NewView reads a snapshot; to it all links are up. It is for one goroutine.
func NewView(m *Model, r Reader) View { return newView(m, r, nil) }

func newView(m *Model, r Reader, f *facts) View {
	v := View{m, r, &memo{
		encaps: map[string]*object.Encap{},
		hops:   map[hopKey]*object.SharedNextHop{},
		throws: map[throwKey]*object.Route{},
		above:  map[schema.EntryKey]schema.GoStruct{},
		down:   map[string]string{},
		links:  map[neighbour]string{},
		facts:  f, firstHops: map[netip.Addr]FirstHop{},
	}}
	v.addWay = func(k schema.EntryKey, e schema.GoStruct) bool {
		if nh, ok := e.(*NextHop); ok {
			v.ways = append(v.ways, Way{k, nh})
		}
		return true
	}
	return v
}

// Way is a next hop of a static route with its key.
type Way struct {
	Key schema.EntryKey
	*NextHop
}

// NextHopsOf lists the next hops of a static route, in the order of their keys. The
// list is valid until the next call.
func (v View) NextHopsOf(static schema.EntryKey) []Way {
	v.ways = v.ways[:0]
	v.Scan(static, v.addWay) // it has nothing else below it
	return v.ways
}

// InterfaceKey is the key of an interface; ok is false for what cannot be one.
func (v View) InterfaceKey(name string) (schema.EntryKey, bool) {
	k, err := v.Key("", v.Model.Interface, name)
	return k, err == nil
}

// InterfaceNamed returns the configuration of an interface.
func (v View) InterfaceNamed(name string) (*Interface, bool) {
	k, ok := v.InterfaceKey(name)
	if !ok {
		return nil, false
	}
	return get[*Interface](v, k)
}

// InstanceKey is the key of a network instance.
func (v View) InstanceKey(name string) (schema.EntryKey, bool) {
	if name == DefaultInstance {
		return v.defaultKey, true
	}
	k, err := v.Key("", v.Model.Instance, name)
	return k, err == nil
}

// InstanceNamed returns the configuration of a network instance.
func (v View) InstanceNamed(name string) (*Instance, bool) {
	k, ok := v.InstanceKey(name)
	if !ok {
		return nil, false
	}
	return get[*Instance](v, k)
}

// InstanceOf returns the network instance that an entry is in.
func (v View) InstanceOf(k schema.EntryKey) (schema.EntryKey, *Instance, bool) {
	return enclosing[*Instance](v, k, v.Model.Instance)
}

// ProtocolOf returns the source of routes that an entry is in.
func (v View) ProtocolOf(k schema.EntryKey) (schema.EntryKey, *Protocol, bool) {
	return enclosing[*Protocol](v, k, v.Model.Protocol)
}

// InterfaceOf returns the interface that an entry is in.
func (v View) InterfaceOf(k schema.EntryKey) (schema.EntryKey, *Interface, bool) {
	return enclosing[*Interface](v, k, v.Model.Interface)
}

// SubinterfaceZero returns subinterface 0 of an interface.
func (v View) SubinterfaceZero(k schema.EntryKey) (*Subinterface, bool) {
	sub, err := v.Key(k, v.Model.Subinterface, "0")
	if err != nil {
		return nil, false
	}
	return get[*Subinterface](v, sub)
}

// Each calls fn for every entry of a list under parent, until fn returns false.
// Entries below those of the list are passed over, but are walked.
func Each[T schema.GoStruct](v View, parent schema.EntryKey, list *schema.Node, fn func(schema.EntryKey, T) bool) {
	v.Scan(v.ListPrefix(parent, list), func(k schema.EntryKey, e schema.GoStruct) bool {
		t, ok := e.(T)
		return !ok || fn(k, t)
	})
}

// get reads an entry that many are in or refer to.
func get[T schema.GoStruct](v View, k schema.EntryKey) (T, bool) {
	e, ok := v.above[k]
	if !ok {
		e, _ = v.Get(k)
		v.above[k] = e
	}
	t, is := e.(T)
	return t, is
}

func enclosing[T schema.GoStruct](v View, k schema.EntryKey, list *schema.Node) (schema.EntryKey, T, bool) {
	for ok := true; ok; k, ok = k.Parent() {
		if k.List() == list.ListID {
			t, found := get[T](v, k)
			return k, t, found
		}
	}
	var none T
	return "", none, false
}

// EnumName is an identity as the model spells it, "" if it is unset.
func EnumName(e ygot.GoEnum) string {
	name, err := ygot.EnumName(e)
	if err != nil {
		return fmt.Sprint(e)
	}
	return name
}

// Str is the text of a leaf, "" if it is absent.
func Str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// On is the value of a boolean leaf whose default is true.
func On(p *bool) bool { return p == nil || *p }

// Addr is the address in a leaf. Leaves hold canonical text, so that one that
// is no address is one that is absent.
func Addr(p *string) netip.Addr {
	if p == nil {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(*p)
	if err != nil {
		return netip.Addr{}
	}
	return a
}

// Prefix is the prefix in a leaf; it is invalid if the leaf is absent.
func Prefix(p *string) netip.Prefix {
	if p == nil {
		return netip.Prefix{}
	}
	x, err := netip.ParsePrefix(*p)
	if err != nil {
		return netip.Prefix{}
	}
	return x
}

// SIDLink is the link that carries the routes of the SIDs, and of
// encapsulations that name no way out.
func (v View) SIDLink() string {
	ni, _ := get[*Instance](v, v.defaultKey)
	return sidLink(ni)
}

// CSIDLengths are the bits of a compressed SID: of the block, and of the node and
// function behind it. Those of the model where they are absent (RFC 9800 leaves
// them open; they are the kernel's, too).
func CSIDLengths(f *Flavors) (block, nodeFunction uint8) {
	block, nodeFunction = 32, 16
	if f != nil && f.LocatorBlockLength != nil {
		block = *f.LocatorBlockLength
	}
	if f != nil && f.LocatorNodeFunctionLength != nil {
		nodeFunction = *f.LocatorNodeFunctionLength
	}
	return block, nodeFunction
}

// DefaultKey is the key of the default instance.
func (v View) DefaultKey() schema.EntryKey { return v.defaultKey }

// SRv6 is the SRv6 configuration of an instance, nil if there is none.
func SRv6(ni *Instance) *config.NetworkInstance_SegmentRouting_Srv6 {
	if ni == nil || ni.SegmentRouting == nil {
		return nil
	}
	return ni.SegmentRouting.Srv6
}
