// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// Ethernet inside: the headers go in front of a whole frame, whatever it carries. Part of
// srproxy.c.
//
// bpf_skb_adjust_room knows IPv4 and IPv6 only, so room is made by bpf_skb_change_head.
// What a packet is the kernel has found out by then: that it finds out anew the frame is
// put on the ingress of its link once more, with a mark that no frame has that comes by a
// wire, and is let pass there. It is there an IPv6 packet like any other, so that
// everything by the link it came in by (rules, filters) is as for IPv4 and IPv6 inside.
#ifndef HEDDLE_ETHERNET_H
#define HEDDLE_ETHERNET_H

#define REDIRECT 7 // TC_ACT_REDIRECT
#define PACKET_HOST 0
#define FRAME_MARK 0x68656464 // "hedd"

// frame puts the headers of a row in front of a frame. A tagged one belongs to the VLAN's
// own link. One of several segments (GSO, GRO) has no place in a packet: nobody could
// make segments of it again.
static __always_inline int frame(struct __sk_buff *skb, struct row *r)
{
	struct ethhdr eth = {.h_proto = bpf_htons(ETH_P_IPV6)};
	struct counters *c = counters_of(&r->sid);
	struct scratch *s = scratch();
	__u32 octets = skb->len;
	__u64 length;

	if (skb->mark == FRAME_MARK) {
		skb->mark = 0;
		return bpf_skb_change_type(skb, PACKET_HOST) < 0 ? DROP : segment(skb);
	}
	if (skb->vlan_present)
		return NEXT;
	if (!s)
		return DROP;
	length = headers_of(r, s);
	if (length == 0) {
		COUNT(c, no_cache);
		return DROP;
	}
	if (!fits(&length) || skb->gso_size != 0 || octets + length - IPV6_LEN > 0xffff) {
		COUNT(c, too_big);
		return DROP;
	}
	outer_header(skb, s, 0, octets + length - IPV6_LEN);
	if (bpf_skb_change_head(skb, L3 + length, 0) < 0 || !fits(&length) ||
	    bpf_skb_store_bytes(skb, 0, &eth, sizeof(eth), 0) < 0 ||
	    bpf_skb_store_bytes(skb, L3, s->headers, length, 0) < 0) {
		COUNT(c, too_big);
		return DROP;
	}
	skb->mark = FRAME_MARK;
	COUNT(c, returned);
	return bpf_redirect(skb->ifindex, BPF_F_INGRESS);
}

#endif
