package scenario

import (
	"fmt"
	"strconv"
	"strings"

	"heddle/lab/control"
)

// feature is something of the kernel that a scenario may need, with commands
// that work in a fresh namespace exactly when it is there.
type feature struct {
	name  string
	since string // first kernel release in which Debian's build has it
	probe []string
}

// Two ends of a veth and a VRF, as most probes need them.
const (
	probeLink = "ip link add p0 type veth peer name p1; ip link set p0 up; ip link set p1 up; ip -6 addr add 2001:db8:ffff::1/64 dev p0 nodad"
	probeVRF  = "ip link add probe type vrf table 110; ip link set probe up"
	strict    = "sysctl -qw net.vrf.strict_mode=1"
	localSID  = "ip -6 route add 2001:db8:fffe::1/128 encap seg6local action "
)

func features() []feature {
	return []feature{
		{"vrf", "4.3", []string{probeVRF}},
		{"vrf-strict", "5.8", []string{probeVRF, strict}},
		{"seg6", "4.10", []string{probeLink, "ip -6 route add 2001:db8:fffd::/64 encap seg6 mode encap segs 2001:db8:ffff::2 dev p0"}},
		{"seg6-red", "6.0", []string{probeLink, "ip -6 route add 2001:db8:fffd::/64 encap seg6 mode encap.red segs 2001:db8:ffff::2 dev p0"}},
		{"seg6-l2", "6.0", []string{probeLink, "ip -6 route add 2001:db8:fffd::/64 encap seg6 mode l2encap.red segs 2001:db8:ffff::2 dev p0"}},
		{"seg6-hmac", "4.10", []string{"echo secret | ip sr hmac set 1 sha256", "ip sr hmac show | grep -q sha256"}},
		{"seg6local-end", "4.14", []string{probeLink, localSID + "End dev p0"}},
		{"seg6local-end-x", "4.14", []string{probeLink, localSID + "End.X nh6 2001:db8:ffff::2 dev p0"}},
		{"seg6local-dx2", "4.14", []string{probeLink, localSID + "End.DX2 oif p1 dev p0"}},
		{"seg6local-dt4", "5.11", []string{probeVRF, strict, localSID + "End.DT4 vrftable 110 dev probe"}},
		{"seg6local-dt6", "5.11", []string{probeVRF, strict, localSID + "End.DT6 vrftable 110 dev probe"}},
		{"seg6local-dt46", "5.14", []string{probeVRF, strict, localSID + "End.DT46 vrftable 110 dev probe"}},
		{"seg6local-counters", "5.13", []string{probeLink, localSID + "End count dev p0"}},
		{"seg6local-psp", "6.3", []string{probeLink, localSID + "End flavors psp dev p0"}},
		{"seg6local-next-csid", "6.1", []string{probeLink, localSID + "End flavors next-csid lblen 32 nflen 16 dev p0"}},
		{"netem", "4.0", []string{probeLink, "tc qdisc add dev p0 root netem delay 1ms"}},
		{"xfrm-interface", "4.19", []string{probeLink, "ip link add x0 type xfrm dev p0 if_id 7"}},
		{"nexthop-objects", "5.3", []string{probeLink, "ip nexthop add id 9 via 2001:db8:ffff::2 dev p0"}},
		{"gre", "4.0", []string{"ip link add g0 type gre local 192.0.2.1 remote 192.0.2.2"}},
		{"ip6gretap", "4.0", []string{"ip link add g0 type ip6gretap local 2001:db8::1 remote 2001:db8::2"}},
		{"bridge", "4.0", []string{"ip link add b0 type bridge"}},
		{"vxlan", "4.0", []string{"ip link add x0 type vxlan id 5 dstport 4789"}},
		{"vlan", "4.0", []string{probeLink, "ip link add link p0 name v0 type vlan id 7"}},
		{"dummy", "4.0", []string{"ip link add d0 type dummy"}},
		{"nftables", "4.18", []string{"nft add table ip probe", "nft 'add chain ip probe nat { type nat hook postrouting priority 100; }'",
			"nft add rule ip probe nat counter snat to 192.0.2.1"}},
		{"ifb", "4.0", []string{"ip link add i0 type ifb"}},
	}
}

func featureNames() []string {
	var out []string
	for _, f := range features() {
		out = append(out, f.name)
	}
	return out
}

func findFeature(name string) (feature, bool) {
	for _, f := range features() {
		if f.name == name {
			return f, true
		}
	}
	return feature{}, false
}

// probe asks the kernel, once a session.
func (s *session) probe(f feature) error {
	if err, known := s.features[f.name]; known {
		return err
	}
	err := s.lab.Scratch(func(run func(...string) (string, error)) error {
		script := "set -e; " + strings.Join(f.probe, "; ")
		if out, err := run("sh", "-c", script); err != nil {
			return fmt.Errorf("%s: %w", strings.Join(strings.Fields(out), " "), err)
		}
		return nil
	})
	s.features[f.name] = err
	return err
}

func kernelRelease() string { return control.KernelRelease() }

// atLeast compares the first two numbers of two kernel releases.
func atLeast(release, than string) bool {
	aMajor, aMinor := twoNumbers(release)
	bMajor, bMinor := twoNumbers(than)
	return aMajor > bMajor || aMajor == bMajor && aMinor >= bMinor
}

func twoNumbers(release string) (major, minor int) {
	parts := strings.FieldsFunc(release, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) > 0 {
		major, _ = strconv.Atoi(parts[0])
	}
	if len(parts) > 1 {
		minor, _ = strconv.Atoi(parts[1])
	}
	return major, minor
}
