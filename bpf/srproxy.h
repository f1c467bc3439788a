// SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0)
// What the programs of srproxy.c and the agent (kernel/srproxy) share.
#ifndef HEDDLE_SRPROXY_H
#define HEDDLE_SRPROXY_H

#include <linux/in6.h>
#include <linux/types.h>

// An SRH of at most 16 segments (RFC 8754 §2: 8 octets and 16 for each segment)
// behind an IPv6 header.
#define MAX_SEGMENTS 16
#define IPV6_LEN 40
#define SRH_FIXED 8
#define MAX_HEADERS (IPV6_LEN + SRH_FIXED + 16 * MAX_SEGMENTS)
#define HEADER_WORDS (MAX_HEADERS / 8)

enum behavior {
	END_AS = 1,
	END_AD = 2,
	END_AM = 3,
};

// What a SID is besides, in its flags.
#define DESTINATION_NAT 1 // End.AM: the NF may change the destination

// What becomes of packets for a SID. The agent switches by one write.
enum mode {
	MODE_NF = 0,      // they go to the NF
	MODE_STANDBY = 1, // they go to the other NF
	MODE_BYPASS = 2,  // they go on to their next segment, as by End
	MODE_DROP = 3,
};

// A SID, by its address in network order.
struct sid {
	__u32 iface_in;      // ifindex: where what the NF lets pass comes back; 0: nowhere
	__u32 iface_standby; // the same of the other NF
	__u32 iface_out;     // ifindex: where End.AM sends it to the NF
	__u8 behavior;       // enum behavior
	__u8 inner;          // next header of what is carried: 4 IPv4, 41 IPv6, 143 Ethernet; 0 for End.AM
	__u8 mode;           // enum mode
	__u8 flags;
	struct in6_addr nf[2]; // whose echo replies are for the node, of IPv4 the last 4 octets; 0: nobody's
};

// The headers that go in front of what comes back on an interface, by its ifindex.
// Static ones are written by the agent, dynamic ones by the packets on their way to
// the NF.
struct row {
	struct bpf_spin_lock lock;
	__u32 length;     // of headers in octets; 0: none yet
	struct in6_addr sid;
	__u64 changes;    // how often headers were written
	__u64 changed;    // when last, in ns since boot without sleep (CLOCK_MONOTONIC)
	__u64 hash;       // of headers; 0: of static ones
	__u64 replaced;   // hash of the headers before these
	__u64 told;       // when the agent was told last of a change, as changed
	__u64 headers[HEADER_WORDS];
};

// The agent is told that the headers of a SID are others at most so often for each
// link, in ns. It looks again for as long as they go on changing.
#define TELL_NS 20000000ULL

// Counters of a SID, by its address: packets, apart for each processor.
// A packet of several segments (GSO, GRO) counts once.
struct counters {
	__u64 forwarded;          // opened or masqueraded, and on its way to the NF
	__u64 returned;           // come back, and on its way to the next segment
	__u64 no_srh;             // dropped: no segment routing header
	__u64 segments_left_zero; // dropped: no segment left to go on to
	__u64 bad_srh;            // dropped: TLVs, too many segments or lengths that do not fit
	__u64 wrong_inner_type;   // dropped: carries something else than configured
	__u64 no_cache;           // dropped: came back before anything was sent
	__u64 too_big;            // dropped: no room for the headers, or a frame of several segments
	__u64 chain_conflict;     // headers that are again those from before the last change
	__u64 cache_updates;      // headers written
	__u64 bypassed;           // sent on past an NF that is down
	__u64 nf_down;            // dropped: the NF is down
	__u64 wrong_destination;  // dropped: came back with another destination than it was sent with
	__u64 expired;            // hop limit or TTL used up: left to the kernel, which answers
};

#endif
