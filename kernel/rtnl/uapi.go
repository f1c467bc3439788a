package rtnl

// Numbers of the kernel's interface that neither golang.org/x/sys/unix nor
// vishvananda/netlink/nl has, with the header they come from.
const (
	rtextSkipStats = 1 << 3 // linux/rtnetlink.h RTEXT_FILTER_SKIP_STATS

	// linux/if_addr.h IFA_*; IFA_PROTO and its IFAPROT_* are of Linux 5.18.
	ifaRTPriority     = 9
	ifaProto          = 11
	ifaProtoLoopback  = 1 // IFAPROT_KERNEL_LO
	ifaProtoRA        = 2 // IFAPROT_KERNEL_RA
	ifaProtoLinkLocal = 3 // IFAPROT_KERNEL_LL

	// linux/neighbour.h; struct ndmsg is family, 3 octets of padding, i32 ifindex,
	// u16 state, u8 flags, u8 type.
	sizeofNdmsg = 12
	ndaProtocol = 12

	skfNlattr   = 0xfffff000 + 12 // linux/filter.h SKF_AD_OFF + SKF_AD_NLATTR
	ndaFlagsExt = 15

	vlanLooseBinding = 4 // linux/if_vlan.h VLAN_FLAG_LOOSE_BINDING

	greKey              = 0x2000 // linux/if_tunnel.h GRE_KEY
	ip6IgnoreEncapLimit = 1      // linux/ip6_tunnel.h IP6_TNL_F_IGN_ENCAP_LIMIT

	encapSeg6      = 5 // linux/lwtunnel.h LWTUNNEL_ENCAP_SEG6
	encapSeg6Local = 7 // linux/lwtunnel.h LWTUNNEL_ENCAP_SEG6_LOCAL

	// linux/nexthop.h NHA_*, Linux 5.3; struct nhmsg is family, scope, protocol, a
	// reserved octet and u32 flags.
	sizeofNhmsg  = 8
	sizeofNhGrp  = 8 // struct nexthop_grp: u32 id, u8 weight less 1, u8 its high octet (Linux 6.12), u16
	nhaID        = 1
	nhaGroup     = 2
	nhaGroupType = 3
	nhaBlackhole = 4
	nhaOIF       = 5
	nhaGateway   = 6
	nhaEncapType = 7
	nhaEncap     = 8
	nhaGroups    = 9
	nhaFDB       = 11
	nhaResGroup  = 12

	nhaResUnbalancedTime = 4 // NHA_RES_GROUP_UNBALANCED_TIME

	rtaNHID         = 30 // linux/rtnetlink.h RTA_NH_ID
	rtnlgrpNexthop  = 32 // linux/rtnetlink.h RTNLGRP_NEXTHOP
	nhProtocolOctet = 2  // of struct nhmsg
	rtProtocolOctet = 5  // of struct rtmsg

	seg6IPTunnelSource = 2 // linux/seg6_iptunnel.h SEG6_IPTUNNEL_SRC, about Linux 7.1

	seg6LocalIIF      = 6  // linux/seg6_local.h SEG6_LOCAL_IIF
	seg6LocalOIF      = 7  // SEG6_LOCAL_OIF
	seg6LocalCounters = 10 // linux/seg6_local.h SEG6_LOCAL_COUNTERS, Linux 5.14
	seg6CntPackets    = 2
	seg6CntBytes      = 3
	seg6CntErrors     = 4

	seg6LocalFlavors        = 11 // SEG6_LOCAL_FLAVORS, Linux 6.1
	seg6FlvOperation        = 1
	seg6FlvBlockBits        = 2
	seg6FlvNodeFunctionBits = 3

	// linux/seg6_genl.h
	seg6GenlName      = "SEG6"
	seg6GenlVersion   = 1
	seg6CmdSetHMAC    = 1
	seg6CmdDumpHMAC   = 2
	seg6CmdSetTunSrc  = 3
	seg6CmdGetTunSrc  = 4
	seg6AttrDst       = 1
	seg6AttrHMACKeyID = 3
	seg6AttrSecret    = 4
	seg6AttrSecretLen = 5
	seg6AttrAlgID     = 6
	srhType           = 4      // IPV6_SRCRT_TYPE_4
	srhFlagHMAC       = 1 << 3 // linux/seg6.h SR6_FLAG1_HMAC
	srhTLVHMAC        = 5      // SR6_TLV_HMAC
	srhSizeofTLVHMAC  = 40     // struct sr6_tlv_hmac: type, length, u16, be32 key, 32 octets
	defaultMetricIPv6 = 1024
)

// Protocol marks our routes (rtm_protocol) and addresses (IFA_PROTO): "H". It is
// outside the ranges of FRR (186-196) and BIRD (12).
const Protocol = 72
