package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// offloads are what the links leave to the hardware, which a veth does not have: a
// packet of several segments, or without a checksum, goes all the way as it is.
type offloads int

const (
	offloadsOn  offloads = iota // as a veth comes: TCP segmentation, checksums
	offloadsGRO                 // also segments put together on receipt
	offloadsOff                 // packets as they are on a wire
)

func (o offloads) String() string { return [...]string{"on", "gro", "off"}[o] }

// set gives all links their offloads.
func (p *proxyPath) set(o offloads) {
	p.t.Helper()
	on, gro := uint32(1), uint32(0)
	switch o {
	case offloadsGRO:
		gro = 1
	case offloadsOff:
		on = 0
	}
	for _, e := range p.links {
		e.in.in(func() error {
			for _, f := range []struct{ command, value uint32 }{
				{unix.ETHTOOL_STXCSUM, on}, {unix.ETHTOOL_SRXCSUM, on}, {unix.ETHTOOL_SSG, on},
				{unix.ETHTOOL_STSO, on}, {unix.ETHTOOL_SGSO, on}, {unix.ETHTOOL_SGRO, gro},
			} {
				if err := ethtool(e.name, f.command, f.value); err != nil {
					return fmt.Errorf("set offload %#x of %s: %w", f.command, e.name, err)
				}
			}
			return nil
		})
	}
}

// ethtool sets a feature of a link (struct ethtool_value, linux/ethtool.h).
func ethtool(link string, command, value uint32) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	feature := struct{ command, value uint32 }{command, value}
	request := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [unix.IFNAMSIZ - unsafe.Sizeof(uintptr(0))]byte
	}{data: unsafe.Pointer(&feature)}
	copy(request.name[:unix.IFNAMSIZ-1], link)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))); errno != 0 {
		return errno
	}
	return nil
}

// received is what a namespace has received on links whose names begin like this.
func (n *namespace) received(prefix string) (octets, packets int) {
	n.t.Helper()
	n.in(func() error {
		table, err := os.ReadFile("/proc/thread-self/net/dev")
		for line := range strings.Lines(string(table)) {
			name, numbers, found := strings.Cut(strings.TrimSpace(line), ":")
			if !found || !strings.HasPrefix(name, prefix) {
				continue
			}
			fields := strings.Fields(numbers)
			o, oerr := strconv.Atoi(fields[0])
			p, perr := strconv.Atoi(fields[1])
			if err := errors.Join(oerr, perr); err != nil {
				return err
			}
			octets, packets = octets+o, packets+p
		}
		return err
	})
	return octets, packets
}

func addrPort(w way, side int, f family) netip.AddrPort {
	return netip.AddrPortFrom(host(w, side, f.six), 0)
}
