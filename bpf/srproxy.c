//go:build ignore

// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
//
// SR proxies: End.AS, End.AD and End.AM of draft-ietf-spring-sr-service-programming,
// the first two for IPv4, IPv6 and Ethernet inside.
//
// End.AS and End.AD: the kernel's own End.DX4, End.DX6 or End.DX2 on the SID opens the packet and sends it to
// the NF: it clears the marks of encapsulation that bpf_skb_adjust_room leaves, so
// that packets of several segments (GSO, GRO) survive. What the kernel lacks is
// done around it:
//
//   sr_ingress  on the links that packets for SIDs come in by. It keeps the headers
//               (End.AD), and sets the number of segments left to 0, without which
//               the kernel would not open the packet.
//   nf_ingress  on the link that they come back on. It puts headers in front again.
//
// Ethernet frames get them in ethernet.h. End.AM is in masquerade.h.
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "srproxy.h"

#define AGAIN 1 // the packet has another destination, which may be a SID of ours, too
#define NEXT -1 // TC_ACT_UNSPEC and TCX_NEXT: whoever is attached behind us is asked
#define DROP 2  // TC_ACT_SHOT

#define L3 ETH_HLEN
#define SRH_AT (L3 + IPV6_LEN)
#define NEXTHDR_IPV4 4
#define NEXTHDR_IPV6 41
#define NEXTHDR_ROUTING 43
#define NEXTHDR_ETHERNET 143
#define ROUTING_TYPE_SRH 4
#define PACKET_OTHERHOST 3
#define ICMP_ECHO_REPLY 0
#define ICMPV6_ECHO_REPLY 129
#define ND_FIRST 133 // router solicitation (RFC 4861 §4)
#define ND_LAST 137  // redirect

// A hop limit that differs by less is no other chain: paths differ in length.
#define HOP_LIMIT_MARGIN 16

// Headers that come back within a second of having been replaced belong to two
// chains that share one SID.
#define CONFLICT_NS 1000000000ULL

struct srh {
	__u8 next, hdrlen, type, left;
	__u8 last, flags;
	__be16 tag;
};

// What both programs need of room for headers, which does not fit on the stack.
struct scratch {
	__u64 headers[HEADER_WORDS];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct in6_addr);
	__type(value, struct sid);
} sids SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct row);
} rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct in6_addr);
	__type(value, struct counters);
} counts SEC(".maps");

// SIDs (struct in6_addr) whose headers have changed.
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} changes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

#define COUNT(c, what) do { if (c) (c)->what++; } while (0)

static __always_inline struct scratch *scratch(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

static __always_inline struct counters *counters_of(const struct in6_addr *sid)
{
	return bpf_map_lookup_elem(&counts, sid);
}

// fits bounds a length where it is used: the verifier of Linux 6.1 forgets what it has
// seen of a value that went by the stack; and the compiler leaves out a check that it
// finds made, and makes one of two in a way that the verifier does not understand.
static __always_inline int fits(__u64 *length)
{
	asm volatile("" : "+r"(*length));
	if (*length < IPV6_LEN)
		return 0;
	asm volatile("" : "+r"(*length));
	return *length <= MAX_HEADERS;
}

// fill zeroes s and reads length octets of the packet into it.
static __always_inline int fill(struct __sk_buff *skb, struct scratch *s, __u64 length)
{
	for (__u32 i = 0; i < HEADER_WORDS; i++)
		s->headers[i] = 0;
	if (!fits(&length))
		return -1;
	return bpf_skb_load_bytes(skb, L3, s->headers, length);
}

// keep makes the headers in s those that are put in front of what comes back on an
// interface, unless they are already.
static __always_inline void keep(struct row *r, const struct scratch *s, __u32 length, struct counters *c)
{
	const __u8 *now = (const __u8 *)s->headers, *had = (const __u8 *)r->headers;
	__u64 at = bpf_ktime_get_ns(), differ, hash = length;
	int updated = 0, conflict = 0, tell = 0, hops;

	bpf_spin_lock(&r->lock);
	// Class, flow label and payload length are 0 in both; behind them are the next
	// header and the hop limit.
	differ = (r->length ^ length) | (had[6] ^ now[6]);
	for (__u32 i = 1; i < HEADER_WORDS; i++)
		differ |= r->headers[i] ^ s->headers[i];
	hops = had[7] - now[7];
	if (differ || hops >= HOP_LIMIT_MARGIN || hops <= -HOP_LIMIT_MARGIN) {
		updated = 1;
		for (__u32 i = 1; i < HEADER_WORDS; i++) {
			hash = (hash ^ s->headers[i]) * 0x9e3779b97f4a7c15ULL;
			hash ^= hash >> 29;
		}
		conflict = r->replaced == hash && r->hash != hash && at - r->changed < CONFLICT_NS;
		if (r->hash != hash)
			r->replaced = r->hash;
		for (__u32 i = 0; i < HEADER_WORDS; i++)
			r->headers[i] = s->headers[i];
		r->hash = hash;
		r->length = length;
		r->changed = at;
		r->changes++;
		tell = at - r->told >= TELL_NS;
		if (tell)
			r->told = at;
	}
	bpf_spin_unlock(&r->lock);
	if (tell) // where there is no room the agent reads all
		bpf_ringbuf_output(&changes, &r->sid, sizeof(r->sid), 0);
	if (updated)
		COUNT(c, cache_updates);
	if (conflict)
		COUNT(c, chain_conflict);
}

// expired leaves a packet whose hop limit is used up to the kernel: it goes on to
// its next segment like any other, and is answered instead of forwarded (RFC 8986
// §4.1). One for End.AS that has no segment left goes where it would go from the NF.
static __always_inline int expired(struct __sk_buff *skb, const struct sid *sid, __u32 left, struct counters *c)
{
	__u32 iface_in = sid->iface_in ? sid->iface_in : sid->iface_standby;
	struct in6_addr next;
	struct row *r;

	COUNT(c, expired);
	if (left > MAX_SEGMENTS)
		return DROP;
	if (left == 0) {
		r = bpf_map_lookup_elem(&rows, &iface_in);
		if (sid->behavior != END_AS || !r)
			return DROP;
		next = ((struct ipv6hdr *)r->headers)->daddr;
	} else if (bpf_skb_load_bytes(skb, SRH_AT + SRH_FIXED + 16 * (left - 1), &next, sizeof(next)) < 0) {
		return DROP;
	}
	if (bpf_skb_store_bytes(skb, L3 + offsetof(struct ipv6hdr, daddr), &next, sizeof(next), BPF_F_RECOMPUTE_CSUM) < 0)
		return DROP;
	return NEXT;
}

// bypass makes a packet what End makes of it (RFC 8986 §4.1). The kernel forwards it,
// or the next NF of this node has it.
static __always_inline int bypass(struct __sk_buff *skb, __u32 left, struct counters *c)
{
	struct in6_addr next;
	__u8 then = left - 1;

	if (left == 0) {
		COUNT(c, segments_left_zero);
		return DROP;
	}
	if (left > MAX_SEGMENTS ||
	    bpf_skb_load_bytes(skb, SRH_AT + SRH_FIXED + 16 * (left - 1), &next, sizeof(next)) < 0 ||
	    bpf_skb_store_bytes(skb, SRH_AT + offsetof(struct srh, left), &then, sizeof(then), BPF_F_RECOMPUTE_CSUM) < 0 ||
	    bpf_skb_store_bytes(skb, L3 + offsetof(struct ipv6hdr, daddr), &next, sizeof(next), BPF_F_RECOMPUTE_CSUM) < 0) {
		COUNT(c, bad_srh);
		return DROP;
	}
	COUNT(c, bypassed);
	return AGAIN;
}

// plain sees a packet for a SID that has no SRH. Only End.AS takes it.
static __always_inline int plain(struct __sk_buff *skb, const struct sid *sid, __u8 mode, const struct ipv6hdr *ip, struct counters *c)
{
	if (sid->behavior != END_AS || mode == MODE_BYPASS) {
		COUNT(c, no_srh);
		return DROP;
	}
	if (ip->nexthdr != sid->inner) {
		COUNT(c, wrong_inner_type);
		return DROP;
	}
	if (ip->hop_limit <= 1)
		return expired(skb, sid, 0, c);
	if (mode == MODE_DROP) {
		COUNT(c, nf_down);
		return DROP;
	}
	COUNT(c, forwarded);
	return NEXT;
}

static __always_inline int to_nf(struct __sk_buff *skb, const struct sid *sid, const struct ipv6hdr *ip, struct counters *c)
{
	__u8 none = 0, mode = sid->mode; // which may change any time
	__u32 length, iface_in = mode == MODE_STANDBY ? sid->iface_standby : sid->iface_in;
	struct scratch *s;
	struct ipv6hdr *kept;
	struct srh srh, *kept_srh;
	struct row *r;

	if (ip->nexthdr != NEXTHDR_ROUTING)
		return plain(skb, sid, mode, ip, c);
	if (bpf_skb_load_bytes(skb, SRH_AT, &srh, sizeof(srh)) < 0 || srh.type != ROUTING_TYPE_SRH ||
	    srh.last >= MAX_SEGMENTS || srh.hdrlen != 2 * (srh.last + 1) || srh.left > srh.last) {
		COUNT(c, bad_srh);
		return DROP;
	}
	if (srh.next != sid->inner) {
		COUNT(c, wrong_inner_type);
		return DROP;
	}
	if (sid->behavior == END_AD && srh.left == 0) {
		COUNT(c, segments_left_zero);
		return DROP;
	}
	if (ip->hop_limit <= 1)
		return expired(skb, sid, srh.left, c);
	if (mode == MODE_BYPASS)
		return bypass(skb, srh.left, c);
	if (mode == MODE_DROP) {
		COUNT(c, nf_down);
		return DROP;
	}

	if (sid->behavior == END_AD) {
		length = IPV6_LEN + SRH_FIXED + 16 * ((__u32)srh.last + 1);
		s = scratch();
		r = bpf_map_lookup_elem(&rows, &iface_in);
		if (!s || !r || fill(skb, s, length) < 0) {
			COUNT(c, bad_srh);
			return DROP;
		}
		kept = (struct ipv6hdr *)s->headers;
		kept_srh = (struct srh *)(s->headers + IPV6_LEN / 8);
		// The kernel takes one off the hop limit when it forwards what comes back.
		*(__be32 *)kept = 0;
		kept->payload_len = 0;
		kept_srh->left = srh.left - 1;
		// Below MAX_SEGMENTS, as srh.last is: said again for the verifier.
		kept->daddr = *(struct in6_addr *)(s->headers + (IPV6_LEN + SRH_FIXED) / 8 + 2 * ((srh.left - 1) & (MAX_SEGMENTS - 1)));
		keep(r, s, length, c);
	}
	// The kernel opens only what has no segment left (decap_and_validate in
	// net/ipv6/seg6_local.c).
	if (srh.left != 0 &&
	    bpf_skb_store_bytes(skb, SRH_AT + offsetof(struct srh, left), &none, sizeof(none), BPF_F_RECOMPUTE_CSUM) < 0) {
		COUNT(c, bad_srh);
		return DROP;
	}
	COUNT(c, forwarded);
	return NEXT;
}

// on_wire reports whether a packet has an Ethernet header and no VLAN tag beside it:
// a tagged one belongs to the VLAN's own link. One for another node, which a link in
// promiscuous mode hands up, is nobody's here: the kernel drops it.
static __always_inline int on_wire(struct __sk_buff *skb, __be16 protocol)
{
	return !skb->vlan_present && skb->protocol == protocol && skb->pkt_type != PACKET_OTHERHOST;
}

// segment does what a packet's segment says, if that is a SID of ours, and what the
// next one says for as long as NFs are bypassed.
static __always_inline int segment(struct __sk_buff *skb)
{
	struct ipv6hdr ip;
	struct sid *sid;
	int verdict;

	for (__u32 i = 0; i < MAX_SEGMENTS; i++) {
		if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) < 0)
			return NEXT;
		sid = bpf_map_lookup_elem(&sids, &ip.daddr);
		if (!sid || sid->behavior == END_AM) // which is routed to its NF like any other packet
			return NEXT;
		verdict = to_nf(skb, sid, &ip, counters_of(&ip.daddr));
		if (verdict != AGAIN)
			return verdict;
	}
	return NEXT; // unreached: each time around a segment less is left
}

SEC("tc")
int sr_ingress(struct __sk_buff *skb)
{
	return on_wire(skb, bpf_htons(ETH_P_IPV6)) ? segment(skb) : NEXT;
}

static __always_inline int is_link_local4(__be32 a)
{
	a = bpf_ntohl(a);
	return (a >> 16) == 0xa9fe || (a >> 28) == 0xe || a == 0xffffffff; // also multicast and broadcast
}

static __always_inline int is_link_local6(const struct in6_addr *a)
{
	return a->s6_addr[0] == 0xff || (a->s6_addr[0] == 0xfe && (a->s6_addr[1] & 0xc0) == 0x80);
}

static __always_inline int same(const struct in6_addr *a, const struct in6_addr *b)
{
	return a->s6_addr32[0] == b->s6_addr32[0] && a->s6_addr32[1] == b->s6_addr32[1] &&
	       a->s6_addr32[2] == b->s6_addr32[2] && a->s6_addr32[3] == b->s6_addr32[3];
}

// echoed reports whether what the NF itself sends is an echo reply: that is for the
// node, which has asked.
static __always_inline int echoed(struct __sk_buff *skb, __u32 at, __u8 wanted)
{
	__u8 type;

	return bpf_skb_load_bytes(skb, at, &type, sizeof(type)) == 0 && type == wanted;
}

// leave4 has one hop less to live afterwards. Negative: not for us.
static __always_inline int leave4(struct __sk_buff *skb, const struct sid *sid, __u8 *class)
{
	struct iphdr ip;
	__u32 sum;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) < 0 || is_link_local4(ip.daddr) || is_link_local4(ip.saddr))
		return -1;
	if (ip.protocol == IPPROTO_ICMP && (ip.saddr == sid->nf[0].s6_addr32[3] || ip.saddr == sid->nf[1].s6_addr32[3]) &&
	    echoed(skb, L3 + 4 * ip.ihl, ICMP_ECHO_REPLY))
		return -1;
	if (ip.ttl <= 1)
		return -2;
	*class = ip.tos;
	// As ip_decrease_ttl: one less in the upper octet of a word of the checksum
	// (RFC 1624).
	sum = ip.check + bpf_htons(0x0100);
	ip.check = sum + (sum >= 0xffff);
	ip.ttl--;
	// TTL, protocol and checksum are neighbours: their sum stays what it was.
	return bpf_skb_store_bytes(skb, L3 + offsetof(struct iphdr, ttl), &ip.ttl, 4, 0);
}

// discovers reports whether a packet is of neighbour discovery, which has global
// addresses, too: the NF answers a solicitation from the address that it came from.
// With this hop limit nobody has forwarded it (RFC 4861 §7.1).
static __always_inline int discovers(struct __sk_buff *skb, const struct ipv6hdr *ip)
{
	__u8 type;

	return ip->nexthdr == IPPROTO_ICMPV6 && ip->hop_limit == 255 &&
	       bpf_skb_load_bytes(skb, SRH_AT, &type, sizeof(type)) == 0 && type >= ND_FIRST && type <= ND_LAST;
}

static __always_inline int leave6(struct __sk_buff *skb, const struct sid *sid, __u8 *class)
{
	struct ipv6hdr ip;

	if (bpf_skb_load_bytes(skb, L3, &ip, sizeof(ip)) < 0 || is_link_local6(&ip.daddr) || is_link_local6(&ip.saddr) || discovers(skb, &ip))
		return -1;
	if (ip.nexthdr == IPPROTO_ICMPV6 && (same(&ip.saddr, &sid->nf[0]) || same(&ip.saddr, &sid->nf[1])) &&
	    echoed(skb, SRH_AT, ICMPV6_ECHO_REPLY))
		return -1;
	if (ip.hop_limit <= 1)
		return -2;
	*class = ip.priority << 4 | ip.flow_lbl[0] >> 4;
	ip.hop_limit--;
	return bpf_skb_store_bytes(skb, L3 + offsetof(struct ipv6hdr, hop_limit), &ip.hop_limit, 1, BPF_F_RECOMPUTE_CSUM);
}

// headers_of copies the headers of a row, none of them torn. It returns their length,
// 0: there are none.
static __always_inline __u64 headers_of(struct row *r, struct scratch *s)
{
	__u64 length;

	bpf_spin_lock(&r->lock);
	length = r->length;
	for (__u32 i = 0; i < HEADER_WORDS; i++)
		s->headers[i] = r->headers[i];
	bpf_spin_unlock(&r->lock);
	return length;
}

// outer_header fills in what is a packet's own of the headers. The flow label follows the
// flow inside, so that paths of equal cost are used (RFC 6437 §2).
static __always_inline void outer_header(struct __sk_buff *skb, struct scratch *s, __u8 class, __u32 payload)
{
	struct ipv6hdr *outer = (struct ipv6hdr *)s->headers;
	__u32 label = bpf_get_hash_recalc(skb) & 0xfffff;

	*(__be32 *)outer = bpf_htonl(6u << 28 | (__u32)class << 20 | label);
	outer->payload_len = bpf_htons(payload);
}

#include "ethernet.h"

SEC("tc")
int nf_ingress(struct __sk_buff *skb)
{
	__u32 ifindex = skb->ifindex, octets = skb->len - L3;
	__u64 length;
	__be16 protocol = bpf_htons(ETH_P_IPV6);
	struct counters *c;
	struct scratch *s;
	struct sid *sid;
	struct row *r;
	__u8 class = 0;
	int left;

	r = bpf_map_lookup_elem(&rows, &ifindex);
	sid = r ? bpf_map_lookup_elem(&sids, &r->sid) : NULL;
	if (!sid)
		return NEXT;
	if (sid->inner == NEXTHDR_ETHERNET)
		return frame(skb, r);
	// The headers say what is behind them: of the other family nothing can be.
	if (sid->inner == NEXTHDR_IPV4 && on_wire(skb, bpf_htons(ETH_P_IP)))
		left = leave4(skb, sid, &class);
	else if (sid->inner == NEXTHDR_IPV6 && on_wire(skb, bpf_htons(ETH_P_IPV6)))
		left = leave6(skb, sid, &class);
	else
		return NEXT;
	c = counters_of(&r->sid);
	if (left == -2)
		COUNT(c, expired);
	if (left < 0)
		return NEXT;
	s = scratch();
	if (!s)
		return DROP;

	length = headers_of(r, s);
	if (length == 0) {
		COUNT(c, no_cache);
		return DROP;
	}
	if (!fits(&length) || octets + length - IPV6_LEN > 0xffff) {
		COUNT(c, too_big);
		return DROP;
	}

	// The class is that of what is carried, as from H.Encaps.
	outer_header(skb, s, class, octets + length - IPV6_LEN);
	if (bpf_skb_adjust_room(skb, length, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_ENCAP_L3_IPV6 | BPF_F_ADJ_ROOM_FIXED_GSO) < 0 || !fits(&length) ||
	    bpf_skb_store_bytes(skb, L3, s->headers, length, 0) < 0 ||
	    bpf_skb_store_bytes(skb, offsetof(struct ethhdr, h_proto), &protocol, sizeof(protocol), 0) < 0) {
		COUNT(c, too_big);
		return DROP;
	}
	COUNT(c, returned);
	// The next NF of the chain may be one of this node, too.
	return segment(skb);
}

#include "masquerade.h"

// bpf_spin_lock and bpf_skb_adjust_room are open to every license, but the kernel
// wants programs of this type to say that they are compatible with its own.
char _license[] SEC("license") = "Dual BSD/GPL";
