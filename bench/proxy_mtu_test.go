package bench

import (
	"errors"
	"fmt"
	"testing"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"golang.org/x/sys/unix"
)

// tooBig narrows the way behind the node. With the MTU of the links to the NF lowered by
// the headers, as docs/model.md says, the node tells who sends too long a packet, and
// nothing vanishes.
func (p *proxyPath) tooBig(t *testing.T) {
	const narrow, headers = 1440, 40 + 8 + 2*16
	if narrow-headers >= edgeMTU {
		t.Fatal("everything fits")
	}
	p.node.mustIP(fmt.Sprintf("link set e4 mtu %d", narrow))
	p.tail.mustIP(fmt.Sprintf("link set e1 mtu %d", narrow))
	set := &gpb.SetRequest{}
	for _, w := range []way{wayAD, wayAS} {
		for _, f := range families {
			for _, leg := range []string{"a", "b"} {
				set.Update = append(set.Update, update(t, fmt.Sprintf("/interfaces/interface[name=%s%s]/config/mtu", w.nfLinks(f), leg),
					ietf(fmt.Append(nil, narrow-headers))))
			}
		}
	}
	p.agent.set(set)
	for _, w := range []way{wayAD, wayAS} {
		for _, f := range families {
			t.Run(fmt.Sprintf("%s/ipv%s", w, f.name), func(t *testing.T) {
				p.told(t, w, f, narrow-headers)
				// One way: in the other it is the tail that has too little room, and a headend
				// of Linux answers nobody.
				p.tcp(t, w, f, 4<<20, 0)
			})
		}
	}
}

// told sends a datagram that may not be fragmented and as long as the sender's own
// link takes, and wants to be told what is the longest.
func (p *proxyPath) told(t *testing.T, w way, f family, longest int) {
	t.Helper()
	a, _ := p.datagrams(t, w, f)
	level, discover, mtu, headers := unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_MTU, 20+8
	if f.six {
		level, discover, mtu, headers = unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_MTU, 40+8
	}
	if err := option(a, level, discover, unix.IP_PMTUDISC_DO); err != nil {
		t.Fatal(err)
	}
	if err := send(a, noise(5, edgeMTU-headers)); err != nil {
		t.Fatal(err)
	}
	if err := a.SetReadDeadline(time.Now().Add(limit)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Read(make([]byte, 1)); !errors.Is(err, unix.EMSGSIZE) {
		t.Fatalf("a packet of %d octets that may not be fragmented: %v, want the answer that it is too long", edgeMTU, err)
	}
	raw, err := a.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	got, geterr := 0, error(nil)
	err = raw.Control(func(fd uintptr) { got, geterr = unix.GetsockoptInt(int(fd), level, mtu) })
	if err := errors.Join(err, geterr); err != nil {
		t.Fatal(err)
	}
	if got != longest {
		t.Errorf("the sender was told that %d octets fit, want %d", got, longest)
	}
}
