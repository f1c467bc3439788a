package srproxy

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
)

var adEth = netip.MustParseAddr("2001:db8:0:1:ad8f::")

const redirected = 7 // TC_ACT_REDIRECT

// skbuff is a struct __sk_buff (include/uapi/linux/bpf.h) with what a test can set of it.
type skbuff struct {
	_       [2]uint32
	Mark    uint32
	_       [41]uint32
	GSOSize uint32
	_       [3]uint32
}

// TestFrames is the way of Ethernet frames: to the NF, and back with everything that they
// have, whatever they carry.
func TestFrames(t *testing.T) {
	b := newBench(t).add(dynamic(adEth, object.InnerEthernet))
	arp := append(ethernet(unix.ETH_P_ARP), make([]byte, 46)...)
	copy(arp, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9})
	if ret, _ := b.run(b.code.back, arp); ret != dropped || b.reading(adEth).Counters != (object.ProxyCounters{NoCache: 1}) {
		t.Errorf("before anything was sent: returns %d, counts %+v", ret, b.reading(adEth).Counters)
	}
	b.run(b.code.toNF, outer(adEth, 44, srh(unix.IPPROTO_ETHERNET, 2, arp, adEth, as4, next)))
	b.run(b.code.toNF, outer(adEth, 44, srh(4, 2, inner4(9), adEth, as4, next)))
	multicast := append(ethernet(unix.ETH_P_IPV6), inner6(1)...)
	copy(multicast[14+24:], netip.MustParseAddr("ff02::1").AsSlice())
	want := object.ProxyCounters{NoCache: 1, Forwarded: 1, CacheUpdates: 1, WrongInnerType: 1}
	for _, in := range []packet{arp, append(ethernet(unix.ETH_P_IP), inner4(1)...), multicast, append(ethernet(0x88cc), make([]byte, 46)...)} {
		ret, out := b.run(b.code.back, in)
		payload := srh(unix.IPPROTO_ETHERNET, 1, in, adEth, as4, next)
		whole := ethernet(unix.ETH_P_IPV6).ipv6(from, as4, unix.IPPROTO_ROUTING, 44, payload)
		if ret != redirected || len(out) != len(whole) {
			t.Fatalf("returns %d with %d octets, want %d", int32(ret), len(out), len(whole))
		}
		if class := out[14]<<4 | out[15]>>4; class != 0 || out[14]>>4 != 6 {
			t.Errorf("version and class are %x", out[14:16])
		}
		copy(whole[14:18], out[14:18])
		if !bytes.Equal(out, whole) {
			t.Errorf("becomes\n%x, want\n%x", out, whole)
		}
		want.Returned++
	}
	if got := b.reading(adEth).Counters; got != want {
		t.Errorf("counts %+v, want %+v", got, want)
	}
	b.again(adEth)
}

// TestFrameAgain: a frame that has its headers is let pass, and goes on to the next NF of
// this node; one of several segments is dropped.
func TestFrameAgain(t *testing.T) {
	const elsewhere = loopback + 1
	b := newBench(t).add(dynamic(adEth, object.InnerEthernet))
	if err := b.code.write(dynamic(ad4, object.InnerIPv4), elsewhere, 0); err != nil {
		t.Fatal(err)
	}
	again := func(in packet, c skbuff) (uint32, packet, skbuff) {
		var after skbuff
		opts := &ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+512), Context: c, ContextOut: &after}
		ret, err := b.code.back.Run(opts)
		if err != nil {
			t.Fatal(err)
		}
		return ret, opts.DataOut, after
	}
	in := outer(ad4, 9, srh(4, 1, inner4(9), ad4, next))
	ret, out, after := again(in, skbuff{Mark: 0x68656464})
	if ret != passed || out[14+40+3] != 0 || after.Mark != 0 {
		t.Errorf("returns %d with %d segments left and mark %#x", int32(ret), out[14+40+3], after.Mark)
	}
	if got := b.reading(ad4).Counters; got != (object.ProxyCounters{Forwarded: 1, CacheUpdates: 1}) {
		t.Errorf("the next NF counts %+v", got)
	}
	b.run(b.code.toNF, outer(adEth, 44, srh(unix.IPPROTO_ETHERNET, 1, in, adEth, next)))
	if ret, _, _ = again(append(in, make([]byte, 900)...), skbuff{GSOSize: 400}); ret != dropped || b.reading(adEth).Counters.TooBig != 1 {
		t.Errorf("a frame of several segments: returns %d, counts %+v", int32(ret), b.reading(adEth).Counters)
	}
	b.again(adEth, ad4)
}

// FuzzFrames feeds any frame to the way back: what comes out is the frame with headers of
// the right length in front.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(append(ethernet(unix.ETH_P_IP), inner4(9)...)))
	f.Add([]byte(append(ethernet(unix.ETH_P_ARP), make([]byte, 46)...)))
	b := newBench(f).add(dynamic(adEth, object.InnerEthernet))
	b.run(b.code.toNF, outer(adEth, 60, srh(unix.IPPROTO_ETHERNET, 1, inner4(9), adEth, next)))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) < 14 || len(in) > 2000 {
			return // the kernel makes no frame of it
		}
		opts := &ebpf.RunOptions{Data: in, DataOut: make([]byte, len(in)+512)}
		ret, err := b.code.back.Run(opts)
		if err != nil {
			return // no frame
		}
		const headers = 14 + 40 + 8 + 2*16
		out := opts.DataOut
		if ret != redirected || len(out) != len(in)+headers || !slices.Equal(out[headers:], in) {
			t.Fatalf("returns %d, and %x becomes %x", int32(ret), in, out)
		}
		if length := int(binary.BigEndian.Uint16(out[18:])); length != len(out)-54 {
			t.Fatalf("payload of %d octets says %d", len(out)-54, length)
		}
	})
}
