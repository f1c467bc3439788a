package rtnl

// Numbers of the kernel's interface that neither golang.org/x/sys/unix nor
// vishvananda/netlink/nl has, with the header they come from.
const (
	rtextSkipStats = 1 << 3 // linux/rtnetlink.h RTEXT_FILTER_SKIP_STATS

	ifaProto = 11 // linux/if_addr.h IFA_PROTO, Linux 5.18

	encapSeg6      = 5 // linux/lwtunnel.h LWTUNNEL_ENCAP_SEG6
	encapSeg6Local = 7 // linux/lwtunnel.h LWTUNNEL_ENCAP_SEG6_LOCAL

	// linux/nexthop.h NHA_*, Linux 5.3; struct nhmsg is family, scope, protocol, a
	// reserved octet and u32 flags.
	sizeofNhmsg  = 8
	nhaID        = 1
	nhaGroup     = 2
	nhaBlackhole = 4
	nhaOIF       = 5
	nhaGateway   = 6
	nhaEncapType = 7
	nhaEncap     = 8

	rtaNHID         = 30 // linux/rtnetlink.h RTA_NH_ID
	rtnlgrpNexthop  = 32 // linux/rtnetlink.h RTNLGRP_NEXTHOP
	nhProtocolOctet = 2  // of struct nhmsg
	rtProtocolOctet = 5  // of struct rtmsg

	seg6LocalCounters = 10 // linux/seg6_local.h SEG6_LOCAL_COUNTERS, Linux 5.14
	seg6CntPackets    = 2
	seg6CntBytes      = 3
	seg6CntErrors     = 4

	// linux/seg6_genl.h
	seg6GenlName      = "SEG6"
	seg6GenlVersion   = 1
	seg6CmdSetTunSrc  = 3
	seg6CmdGetTunSrc  = 4
	seg6AttrDst       = 1
	srhType           = 4 // IPV6_SRCRT_TYPE_4
	defaultMetricIPv6 = 1024
)

// Protocol marks our routes (rtm_protocol) and addresses (IFA_PROTO): "H". It is
// outside the ranges of FRR (186-196) and BIRD (12).
const Protocol = 72
