package sidprobe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// sockets are those of one run.
type sockets struct {
	raw  int // sends IPv6 packets as they are
	seen int // sees what comes in
	udp  int // has the port of the probes, so that nobody answers them, and gets what is delivered
	port uint16
	lo   int  // index of lo, where packets are seen that did not come in
	vrf  bool // what comes in is seen at a VRF, and nothing else
}

// openSockets opens them in the namespace of the thread; with an error none is left
// open.
func openSockets(p Probe) (s *sockets, err error) {
	s = &sockets{raw: -1, seen: -1, udp: -1}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if lo, err := net.InterfaceByName("lo"); err == nil {
		s.lo = lo.Index
	}
	if err := s.openUDP(p); err != nil {
		return s, err
	}
	if s.raw, err = unix.Socket(unix.AF_INET6, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW); err != nil {
		return s, mayNot(err)
	}
	return s, s.openSeen(p)
}

// mayNot says what it takes to open a raw socket.
func mayNot(err error) error {
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return &UnableError{Reason: "the agent may not open raw sockets", Remedy: "run it as root or with CAP_NET_RAW", Err: err}
	}
	return fmt.Errorf("open raw socket: %w", err)
}

func (s *sockets) openUDP(p Probe) (err error) {
	home := p.home()
	family := unix.AF_INET6
	var at unix.Sockaddr = &unix.SockaddrInet6{Addr: home.As16()}
	if home.Is4() {
		family, at = unix.AF_INET, &unix.SockaddrInet4{Addr: home.As4()}
	}
	if s.udp, err = unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return fmt.Errorf("open UDP socket: %w", err)
	}
	if p.Device != "" {
		if err := unix.BindToDevice(s.udp, p.Device); err != nil {
			return fmt.Errorf("open UDP socket in %s: %w", p.Device, err)
		}
	}
	if err := unix.Bind(s.udp, at); err != nil {
		return &UnableError{Reason: fmt.Sprintf("%s is no address of this node that is in use (%v)", home, err), Remedy: "say another source", Err: err}
	}
	name, err := unix.Getsockname(s.udp)
	switch own := name.(type) {
	case *unix.SockaddrInet6:
		s.port = uint16(own.Port)
	case *unix.SockaddrInet4:
		s.port = uint16(own.Port)
	}
	return err
}

// openSeen opens the packet socket. What a SID of this node has taken out of another
// packet for a VRF is seen at the device of that VRF only (vrf_ip_rcv in
// drivers/net/vrf.c), as if it went out.
func (s *sockets) openSeen(p Probe) (err error) {
	at := &unix.SockaddrLinklayer{Protocol: swapped(unix.ETH_P_IPV6)}
	if p.home().Is4() {
		at.Protocol = swapped(unix.ETH_P_IP)
	}
	if p.Device != "" {
		dev, err := net.InterfaceByName(p.Device)
		if err != nil {
			return fmt.Errorf("find %s: %w", p.Device, err)
		}
		at.Protocol, at.Ifindex, s.vrf = swapped(unix.ETH_P_ALL), dev.Index, true
	}
	if s.seen, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
		return mayNot(err)
	}
	filter := to(p.home())
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(s.seen, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return fmt.Errorf("filter packets: %w", err)
	}
	if err := unix.Bind(s.seen, at); err != nil {
		return fmt.Errorf("open packet socket: %w", err)
	}
	return nil
}

func swapped(n uint16) uint16 { return n<<8 | n>>8 }

// to is a filter for packets to an address, which keeps a busy node's other packets
// away: four octets at a time are compared.
func to(a netip.Addr) []unix.SockFilter {
	offset, b := uint32(24), a.AsSlice()
	if a.Is4() {
		offset = 16
	}
	var f []unix.SockFilter
	for i := 0; i < len(b); i += 4 {
		left := uint8((len(b) - i) / 4)
		f = append(f,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset + uint32(i)},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: binary.BigEndian.Uint32(b[i:]), Jf: 2*left - 1})
	}
	return append(f, unix.SockFilter{Code: unix.BPF_RET, K: 0xffff}, unix.SockFilter{Code: unix.BPF_RET})
}

func (s *sockets) close() {
	for _, fd := range []int{s.raw, s.seen, s.udp} {
		if fd >= 0 {
			_ = unix.Close(fd)
		}
	}
}

// wait returns when something has come in, or after d.
func (s *sockets) wait(d time.Duration) error {
	ts := unix.NsecToTimespec(max(d, 0).Nanoseconds())
	_, err := unix.Ppoll([]unix.PollFd{{Fd: int32(s.seen), Events: unix.POLLIN}, {Fd: int32(s.udp), Events: unix.POLLIN}}, &ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for packets: %w", err)
	}
	return nil
}

// receive hands out what has come in: packets from the IP header on, and the payload
// of what was delivered. A buffer is valid during the call.
func (s *sockets) receive(fn func(b []byte, payload bool)) {
	var buf [2048]byte
	for {
		n, from, err := unix.Recvfrom(s.seen, buf[:], 0)
		if err != nil {
			break
		}
		at, ok := from.(*unix.SockaddrLinklayer)
		if s.vrf || ok && at.Ifindex != s.lo && at.Pkttype != unix.PACKET_OUTGOING {
			fn(buf[:n], false)
		}
	}
	for {
		n, _, err := unix.Recvfrom(s.udp, buf[:], 0)
		if err != nil {
			break
		}
		fn(buf[:n], true)
	}
}
