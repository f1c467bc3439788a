// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// End.AM, the masquerading proxy: the packet itself goes to the NF, with its final
// destination in place of the SID. Part of srproxy.c.
//
// The way of a SID to its NF is a plain route of the kernel, with the NF as gateway: the
// kernel takes one off the hop limit, answers what is too big or has expired, and finds
// the neighbour. So it is the same whatever link the packet came in by. What is left:
//
//   am_egress   on the link to the NF. It puts the last segment in place of the SID.
//   am_ingress  on the link that packets come back on. It makes the segment after the
//               SID their destination, and the kernel routes them on. The SID is the
//               segment that the packet is at, so links may serve many SIDs.
//
// Only addresses and the segments left change, none of them in what the checksum of
// TCP or UDP is over: that has the final destination in it from the start (RFC 8200
// §8.1). Packets of several segments stay as they are.
#ifndef HEDDLE_MASQUERADE_H
#define HEDDLE_MASQUERADE_H

#define DESTINATION_AT (L3 + offsetof(struct ipv6hdr, daddr))
#define SEGMENT_AT(i) (SRH_AT + SRH_FIXED + 16 * (__u32)(i))

// srh_of reads the SRH behind an IPv6 header. TLVs may follow its segments: they are
// neither kept nor changed. Negative: there is none, or not all of it.
static __always_inline int srh_of(struct __sk_buff *skb, const struct ipv6hdr *ip, struct srh *srh)
{
	struct in6_addr first;

	if (ip->nexthdr != NEXTHDR_ROUTING || bpf_skb_load_bytes(skb, SRH_AT, srh, sizeof(*srh)) < 0 || srh->type != ROUTING_TYPE_SRH)
		return -1;
	if (srh->left > srh->last || srh->hdrlen < 2 * (srh->last + 1) || bpf_skb_load_bytes(skb, SEGMENT_AT(srh->last), &first, sizeof(first)) < 0)
		return -2;
	return 0;
}

SEC("tc")
int am_egress(struct __sk_buff *skb)
{
	struct in6_addr last;
	struct counters *c;
	struct ipv6hdr ip;
	struct sid *sid;
	struct srh srh;

	if (!on_wire(skb, bpf_htons(ETH_P_IPV6)) || bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) < 0)
		return NEXT;
	sid = bpf_map_lookup_elem(&sids, &ip.daddr);
	if (!sid || sid->behavior != END_AM || sid->iface_out != skb->ifindex)
		return NEXT;
	c = counters_of(&ip.daddr);
	switch (srh_of(skb, &ip, &srh)) {
	case -1:
		COUNT(c, no_srh);
		return DROP;
	case -2:
		COUNT(c, bad_srh);
		return DROP;
	}
	if (srh.left == 0) {
		COUNT(c, segments_left_zero);
		return DROP;
	}
	if (bpf_skb_load_bytes(skb, SEGMENT_AT(0), &last, sizeof(last)) < 0 || is_link_local6(&last) ||
	    bpf_skb_store_bytes(skb, DESTINATION_AT, &last, sizeof(last), BPF_F_RECOMPUTE_CSUM) < 0) {
		COUNT(c, bad_srh);
		return DROP;
	}
	COUNT(c, forwarded);
	return NEXT;
}

SEC("tc")
int am_ingress(struct __sk_buff *skb)
{
	struct in6_addr at, last;
	struct counters *c;
	struct ipv6hdr ip;
	struct sid *sid;
	struct srh srh;

	if (!on_wire(skb, bpf_htons(ETH_P_IPV6)) || bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) < 0 ||
	    is_link_local6(&ip.daddr) || is_link_local6(&ip.saddr) || srh_of(skb, &ip, &srh) < 0 || srh.left == 0 ||
	    bpf_skb_load_bytes(skb, SEGMENT_AT(srh.left), &at, sizeof(at)) < 0)
		return NEXT;
	sid = bpf_map_lookup_elem(&sids, &at);
	if (!sid || sid->behavior != END_AM)
		return NEXT;
	c = counters_of(&at);
	if (bpf_skb_load_bytes(skb, SEGMENT_AT(0), &last, sizeof(last)) < 0)
		return DROP;
	if (!same(&last, &ip.daddr)) {
		if (!(sid->flags & DESTINATION_NAT)) {
			COUNT(c, wrong_destination);
			return DROP;
		}
		if (bpf_skb_store_bytes(skb, SEGMENT_AT(0), &ip.daddr, sizeof(ip.daddr), BPF_F_RECOMPUTE_CSUM) < 0)
			return DROP;
	}
	srh.left--;
	if (bpf_skb_load_bytes(skb, SEGMENT_AT(srh.left), &ip.daddr, sizeof(ip.daddr)) < 0 ||
	    bpf_skb_store_bytes(skb, SRH_AT + offsetof(struct srh, left), &srh.left, sizeof(srh.left), BPF_F_RECOMPUTE_CSUM) < 0 ||
	    bpf_skb_store_bytes(skb, DESTINATION_AT, &ip.daddr, sizeof(ip.daddr), BPF_F_RECOMPUTE_CSUM) < 0)
		return DROP;
	COUNT(c, returned);
	// The next NF of the chain may be one of this node, too.
	return segment(skb);
}

#endif
