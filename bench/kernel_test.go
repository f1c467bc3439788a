package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// held is what the kernel has of ours, as text that is equal when that is: the
// number of routes and SIDs, of nexthop objects and of addresses, with a sum over
// all that they are, and settings.
func (n *namespace) held() string {
	n.t.Helper()
	var text strings.Builder
	n.in(func() error {
		for _, d := range []dump{routesOfOurs, hopsOfOurs, addressesOfOurs} {
			line, err := d.read()
			if err != nil {
				return err
			}
			fmt.Fprintln(&text, line)
		}
		for _, name := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/all/seg6_enabled", "ipv6/conf/e1/seg6_enabled"} {
			v, err := os.ReadFile("/proc/sys/net/" + name)
			if err != nil {
				return err
			}
			fmt.Fprintf(&text, "%s=%s", name, v)
		}
		return nil
	})
	return text.String() + n.mustIP("sr tunsrc show")
}

// dump reads objects of one kind that bear our mark.
type dump struct {
	what     string
	get, new uint16 // message types
	header   int    // octets before the attributes
	ours     func(m []byte) bool
	except   uint16 // the attribute that moves by itself
}

// The marks of ours, from docs/architecture.md.
const ourProtocol = 72

var (
	routesOfOurs = dump{"routes", unix.RTM_GETROUTE, unix.RTM_NEWROUTE, unix.SizeofRtMsg,
		func(m []byte) bool { return m[5] == ourProtocol }, unix.RTA_CACHEINFO}
	hopsOfOurs = dump{"nexthop objects", unix.RTM_GETNEXTHOP, unix.RTM_NEWNEXTHOP, unix.SizeofNhmsg,
		func(m []byte) bool { return m[2] == ourProtocol }, 0}
	addressesOfOurs = dump{"addresses", unix.RTM_GETADDR, unix.RTM_NEWADDR, unix.SizeofIfAddrmsg,
		func(m []byte) bool { return m[3] == unix.RT_SCOPE_UNIVERSE }, unix.IFA_CACHEINFO}
)

func (d dump) read() (string, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", d.what, err)
	}
	defer unix.Close(fd)
	for {
		line, err := d.once(fd)
		if errors.Is(err, unix.EINTR) {
			continue // something changed meanwhile
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", d.what, err)
		}
		return line, nil
	}
}

func (d dump) once(fd int) (string, error) {
	req := make([]byte, unix.NLMSG_HDRLEN+d.header)
	binary.NativeEndian.PutUint32(req, uint32(len(req)))
	binary.NativeEndian.PutUint16(req[4:], d.get)
	binary.NativeEndian.PutUint16(req[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	if err := unix.Sendto(fd, req, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return "", err
	}
	buf := make([]byte, 1<<20)
	count, sum, torn := 0, uint64(0), false
	for {
		size, _, err := unix.Recvfrom(fd, buf, 0)
		if err != nil {
			return "", err
		}
		msgs, err := syscall.ParseNetlinkMessage(buf[:size])
		if err != nil {
			return "", err
		}
		for _, m := range msgs {
			torn = torn || m.Header.Flags&unix.NLM_F_DUMP_INTR != 0
			switch {
			case m.Header.Type == unix.NLMSG_DONE && torn:
				return "", unix.EINTR
			case m.Header.Type == unix.NLMSG_DONE:
				return fmt.Sprintf("%d %s, sum %x", count, d.what, sum), nil
			case m.Header.Type == unix.NLMSG_ERROR:
				return "", syscall.Errno(-int32(binary.NativeEndian.Uint32(m.Data)))
			case m.Header.Type == d.new && d.ours(m.Data):
				count++
				sum += d.sum(m.Data) // in whatever order they come
			}
		}
	}
}

// sum is a hash of an object without the attribute that moves.
func (d dump) sum(m []byte) uint64 {
	h := fnv.New64a()
	h.Write(m[:d.header])
	for rest := m[d.header:]; len(rest) >= unix.SizeofRtAttr; {
		size, kind := int(binary.NativeEndian.Uint16(rest)), binary.NativeEndian.Uint16(rest[2:])
		if size < unix.SizeofRtAttr || size > len(rest) {
			break
		}
		if kind != d.except {
			h.Write(rest[:size])
		}
		rest = rest[min(len(rest), (size+3)&^3):]
	}
	return h.Sum64()
}
