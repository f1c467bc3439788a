package schema

import (
	"net/netip"
	"regexp"
	"strings"
)

// known names a typedef that is checked and made canonical by code instead of
// by its pattern: an order of magnitude faster, and the only way to a
// canonical form.
type known uint8

const (
	notKnown known = iota
	ipv4Address
	ipv6Address
	ipv4Prefix
	ipv6Prefix
	macAddress
)

// knownTypedefs are the names of RFC 6991 and OpenConfig's inet types. The
// unions ip-address and ip-prefix are taken apart into these.
var knownTypedefs = map[string]known{
	"ipv4-address":         ipv4Address,
	"ipv4-address-no-zone": ipv4Address,
	"ipv6-address":         ipv6Address,
	"ipv6-address-no-zone": ipv6Address,
	"ipv4-prefix":          ipv4Prefix,
	"ipv6-prefix":          ipv6Prefix,
	"mac-address":          macAddress,
}

// probes are the texts on which a typedef's patterns must agree with the code
// before the code may stand in for them.
var probes = []string{
	"", "0", "x", "1.2.3.4", "255.255.255.255", "0.0.0.0", "10.0.0.1", "192.0.2.7", "224.0.0.5", "256.1.1.1", "1.2.3", "1.2.3.4.5", "01.2.3.4",
	"::", "::1", "2001:db8::1", "2001:db8:0:4:ff01::", "fe80::1", "fc00::", "ff02::1", "1:2:3:4:5:6:7:8", "::ffff:192.0.2.1",
	"1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "12345::", "g::", ":::", "fe80::1%eth0",
	"0.0.0.0/0", "10.0.0.0/8", "10.0.0.1/32", "192.0.2.0/24", "10.0.0.0/33", "10.0.0.0", "10.0.0/8", "10.0.0.0/08", "10.0.0.0/",
	"::/0", "2001:db8::/32", "2001:db8::1/128", "2001:db8::/129", "2001:db8::/", "/64", "fe80::%eth0/64", "::/00",
	"00:11:22:33:44:55", "AA:BB:CC:DD:EE:FF", "00:11:22:33:44", "00-11-22-33-44-55", "0:11:22:33:44:55", "00:11:22:33:44:5g",
}

// agrees reports whether the patterns accept exactly the probes the code
// accepts.
func (k known) agrees(patterns []*regexp.Regexp) bool {
	for _, p := range probes {
		_, ok := k.canonical(p)
		if ok != matchAll(patterns, p) {
			return false
		}
	}
	return true
}

func matchAll(patterns []*regexp.Regexp, s string) bool {
	for _, re := range patterns {
		if !re.MatchString(s) {
			return false
		}
	}
	return true
}

// canonical checks s and returns its canonical text: addresses as RFC 5952,
// prefixes with their host bits zero (RFC 6991), MACs in lower case. It
// returns s itself if that is canonical. Zones are not accepted.
func (k known) canonical(s string) (string, bool) {
	var buf [64]byte
	var out []byte
	switch k {
	case ipv4Address, ipv6Address:
		a, err := netip.ParseAddr(s)
		if err != nil || a.Is4() != (k == ipv4Address) || a.Zone() != "" {
			return "", false
		}
		out = a.AppendTo(buf[:0])
	case ipv4Prefix, ipv6Prefix:
		p, err := netip.ParsePrefix(s)
		if err != nil || p.Addr().Is4() != (k == ipv4Prefix) {
			return "", false
		}
		out = p.Masked().AppendTo(buf[:0])
	case macAddress:
		if !isMAC(s) {
			return "", false
		}
		return strings.ToLower(s), true
	}
	if string(out) == s {
		return s, true
	}
	return string(out), true
}

func isMAC(s string) bool {
	if len(s) != 17 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if i%3 == 2 {
			if c != ':' {
				return false
			}
		} else if !(c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F') {
			return false
		}
	}
	return true
}

// want describes the type for people.
func (k known) want() string {
	return [...]string{"", "an IPv4 address such as 192.0.2.1", "an IPv6 address such as 2001:db8::1",
		"an IPv4 prefix such as 192.0.2.0/24", "an IPv6 prefix such as 2001:db8::/32", "a MAC address such as 02:00:5e:00:53:01"}[k]
}
