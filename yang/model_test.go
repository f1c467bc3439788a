package yang_test

import (
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	goyang "github.com/openconfig/goyang/pkg/yang"

	"heddle/yang"
)

func mustLoad(t *testing.T) *model {
	t.Helper()
	m, errs := load(yang.FS)
	for _, err := range errs {
		t.Error(err)
	}
	if len(errs) > 0 || len(m.modules) == 0 {
		t.Fatalf("load the modules: %d errors", len(errs))
	}
	return m
}

func TestConventions(t *testing.T) {
	for _, c := range mustLoad(t).complaints() {
		t.Error(c)
	}
}

// The checks are worth what they catch: each of these breaks one rule.
func TestConventionsAreEnforced(t *testing.T) {
	const top = `
  container things {
    description "d";
    list thing {
      key "name";
      description "d";
      leaf name { type leafref { path "../config/name"; } description "d"; }
      container config {
        description "d";
        leaf name { type string; description "d"; }
        leaf size { type uint8 { range "1..9"; } units "octets"; description "d"; }
      }
      container state {
        config false;
        description "d";
        leaf name { type string; description "d"; }
        leaf size { type uint8; units "octets"; description "d"; }
      }
    }
  }
}`
	module := strings.TrimSuffix(`module heddle-probe {
  namespace "urn:heddle:yang:probe";
  prefix "heddle-probe";
  import heddle-extensions { prefix "heddle-extensions"; }
  organization "Heddle";
  description "d";
  heddle-extensions:openconfig-version "0.1.0";
  revision 2026-11-21 { description "d"; }`, "\n") + top
	extensions, err := fs.ReadFile(yang.FS, "heddle-extensions.yang")
	if err != nil {
		t.Fatal(err)
	}
	check := func(t *testing.T, text string) []string {
		t.Helper()
		m, errs := load(fstest.MapFS{
			"heddle-probe.yang":      {Data: []byte(text)},
			"heddle-extensions.yang": {Data: extensions},
		})
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		return m.complaints()
	}
	if c := check(t, module); len(c) > 0 {
		t.Fatalf("the sound module is complained about: %q", c)
	}
	for _, tt := range []struct{ old, new, want string }{
		{`"urn:heddle:yang:probe"`, `"urn:probe"`, "namespace"},
		{`prefix "heddle-probe"`, `prefix "probe"`, "prefix"},
		{`organization "Heddle"`, `organization "Acme"`, "organization"},
		{`"0.1.0"`, `"one"`, "openconfig-version"},
		{`revision 2026-11-21`, `revision 2026-01-01`, "latest revision"},
		{`type string; description "d";`, `type string;`, "no description"},
		{`path "../config/name"`, `path "../state/name"`, "key is not a leafref"},
		{`leaf size { type uint8 { range "1..9"; } units "octets"; description "d"; }`, `leaf colour { type string; description "d"; }`, "no twin"},
		{`leaf size { type uint8; `, `leaf size { type uint16; `, "type differs"},
		{`leaf size { type uint8; `, `leaf size { type uint8 { range "2..255"; } `, "type differs"},
		{`leaf size { type uint8; units "octets";`, `leaf size { type uint8;`, "units differ"},
		{`container state {`, `container status {`, "has no state beside it"},
		{"config false;", "", "not config false"},
		{`list thing {`, `leaf stray { type string; description "d"; } list thing {`, "container of its own"},
		{`list thing {`, `leaf stray { type string; description "d"; } list thing {`, "belongs in a config container"},
		{`type uint8 { range "1..9"; }`, `type leafref { path "/heddle-probe:things/heddle-probe:gone/heddle-probe:name"; }`, "there is no"},
		{`type uint8 { range "1..9"; }`, `type leafref { path "/heddle-probe:things/heddle-probe:thing/heddle-probe:config"; }`, "not the key of a list"},
	} {
		t.Run(tt.want, func(t *testing.T) {
			if !strings.Contains(module, tt.old) {
				t.Fatalf("the sound module has no %q", tt.old)
			}
			c := check(t, strings.Replace(module, tt.old, tt.new, 1))
			if !slices.ContainsFunc(c, func(s string) bool { return strings.Contains(s, tt.want) }) {
				t.Errorf("%q instead of %q: complaints %q, want one with %q", tt.new, tt.old, c, tt.want)
			}
		})
	}
}

// Names of identities and enums are on the wire: clients depend on them.
func TestIdentityNames(t *testing.T) {
	got := map[string][]string{}
	for _, mod := range mustLoad(t).modules {
		for _, id := range mod.Identity {
			if len(id.Base) > 0 {
				continue
			}
			for _, v := range id.Values {
				got[id.Name] = append(got[id.Name], goyang.RootNode(v).Name+":"+v.Name)
			}
			slices.Sort(got[id.Name])
		}
	}
	want := map[string][]string{
		"INTERFACE_TYPE": {"heddle-interface-types:DUMMY", "heddle-interface-types:GRETAP", "heddle-interface-types:OTHER",
			"heddle-interface-types:VETH", "heddle-interface-types:VRF", "heddle-interface-types:VXLAN", "heddle-interface-types:bridge",
			"heddle-interface-types:ethernetCsmacd", "heddle-interface-types:l2vlan", "heddle-interface-types:softwareLoopback",
			"heddle-interface-types:tunnel"},
		"TPID_TYPES":             {"heddle-vlan-types:TPID_0X8100", "heddle-vlan-types:TPID_0X88A8"},
		"NETWORK_INSTANCE_TYPE":  {"heddle-network-instance-types:DEFAULT_INSTANCE", "heddle-network-instance-types:L3VRF"},
		"INSTALL_PROTOCOL_TYPE":  {"heddle-policy-types:STATIC"},
		"LOCAL_DEFINED_NEXT_HOP": {"heddle-local-routing-types:DROP", "heddle-local-routing-types:LOCAL_LINK"},
		"SRV6_ENDPOINT_BEHAVIOR": {"heddle-sr-proxy:END_AD", "heddle-sr-proxy:END_AM", "heddle-sr-proxy:END_AS", "heddle-srv6:END", "heddle-srv6:END_B6", "heddle-srv6:END_B6_ENCAPS",
			"heddle-srv6:END_DT4", "heddle-srv6:END_DT46", "heddle-srv6:END_DT6", "heddle-srv6:END_DX2", "heddle-srv6:END_DX4",
			"heddle-srv6:END_DX6", "heddle-srv6:END_T", "heddle-srv6:END_X"},
		"SRV6_ENDPOINT_FLAVOR": {"heddle-srv6:NEXT_CSID", "heddle-srv6:PSP"},
		"SRV6_HMAC_ALGORITHM":  {"heddle-srv6:HMAC_SHA_1", "heddle-srv6:HMAC_SHA_256"},
		"SRV6_HEADEND_MODE":    {"heddle-srv6:H_ENCAPS", "heddle-srv6:H_ENCAPS_L2", "heddle-srv6:H_ENCAPS_L2_RED", "heddle-srv6:H_ENCAPS_RED", "heddle-srv6:H_INSERT"},
	}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("identities by base:\n got %q\nwant %q", got, want)
	}
}

func TestEnumNames(t *testing.T) {
	m := mustLoad(t)
	const address = "heddle-interfaces/interfaces/interface/subinterfaces/subinterface/ipv6/addresses/address"
	for path, want := range map[string][]string{
		"heddle-interfaces/interfaces/interface/state/admin-status": {"DOWN", "TESTING", "UP"},
		"heddle-interfaces/interfaces/interface/state/oper-status":  {"DORMANT", "DOWN", "LOWER_LAYER_DOWN", "NOT_PRESENT", "TESTING", "UNKNOWN", "UP"},
		address + "/state/origin":                                   {"DHCP", "LINK_LAYER", "OTHER", "RANDOM", "STATIC"},
	} {
		if got := m.find(t, path).Type.Enum.Names(); !slices.Equal(got, want) {
			t.Errorf("%s: enums %q, want %q", path, got, want)
		}
	}
}

// find returns the entry at MODULE/NODE/NODE...
func (m *model) find(t *testing.T, path string) *goyang.Entry {
	t.Helper()
	steps := strings.Split(path, "/")
	e := m.entries[steps[0]]
	for _, s := range steps[1:] {
		if e = e.Dir[s]; e == nil {
			t.Fatalf("find %s: no %s", path, s)
		}
	}
	return e
}

func TestCompatibleNamesOurModules(t *testing.T) {
	m := mustLoad(t)
	for ours, theirs := range yang.Compatible() {
		if m.entries[ours] == nil || len(theirs) == 0 {
			t.Errorf("%s -> %q: no module of ours, or none of theirs", ours, theirs)
		}
	}
}

// typedef returns a matcher of the patterns and lengths of a typedef of
// heddle-types, anchored as YANG has them.
func typedef(t *testing.T, m *model, name string) func(string) bool {
	t.Helper()
	for _, mod := range m.modules {
		for _, td := range mod.Typedef {
			if mod.Name != "heddle-types" || td.Name != name {
				continue
			}
			var res []*regexp.Regexp
			for _, p := range td.YangType.Pattern {
				res = append(res, regexp.MustCompile("^(?:"+p+")$"))
			}
			if len(res) == 0 {
				t.Fatalf("typedef %s has no pattern", name)
			}
			length := td.YangType.Length
			return func(s string) bool {
				for _, re := range res {
					if !re.MatchString(s) {
						return false
					}
				}
				n := goyang.FromUint(uint64(len([]rune(s))))
				return len(length) == 0 || length.Contains(goyang.YangRange{{Min: n, Max: n}})
			}
		}
	}
	t.Fatalf("no typedef %s", name)
	return nil
}

// What the patterns accept is what net/netip reads: the agent compiles the
// address types to it.
func TestAddressPatternsAgreeWithNetip(t *testing.T) {
	m := mustLoad(t)
	addr := func(is4 bool) func(string) bool {
		return func(s string) bool {
			a, err := netip.ParseAddr(s)
			return err == nil && a.Zone() == "" && a.Is4() == is4
		}
	}
	prefix := func(is4 bool) func(string) bool {
		return func(s string) bool {
			p, err := netip.ParsePrefix(s)
			return err == nil && p.Addr().Is4() == is4
		}
	}
	types := []struct {
		name    string
		pattern func(string) bool
		netip   func(string) bool
	}{
		{"ipv4-address", typedef(t, m, "ipv4-address"), addr(true)},
		{"ipv6-address", typedef(t, m, "ipv6-address"), addr(false)},
		{"ipv4-prefix", typedef(t, m, "ipv4-prefix"), prefix(true)},
		{"ipv6-prefix", typedef(t, m, "ipv6-prefix"), prefix(false)},
	}
	accepted := map[string]int{}
	try := func(s string) {
		for _, ty := range types {
			want := ty.netip(s)
			if ty.pattern(s) != want {
				t.Errorf("%s %q: pattern says %v, netip says %v", ty.name, s, !want, want)
			}
			if want {
				accepted[ty.name]++
			}
		}
	}
	for _, a := range addressTexts() {
		try(a)
		for _, l := range []string{"/0", "/8", "/32", "/33", "/64", "/128", "/129", "/", "/-1", "/08", "/1000"} {
			try(a + l)
		}
	}
	for _, ty := range types {
		if accepted[ty.name] < 8 {
			t.Errorf("%s: only %d of the texts are valid ones", ty.name, accepted[ty.name])
		}
	}
}

// addressTexts are addresses and what looks like them: every placing of "::" in
// 0 to 9 groups, with and without an IPv4 tail, and odd texts.
func addressTexts() []string {
	out := []string{"", ":", ":::", "1::2::3", "::1%eth0", "fe80::1%2", "g::", "12345::", "2001:DB8::Ab", " ::", "::1 ", "::\n",
		"0.0.0.0", "255.255.255.255", "256.1.1.1", "01.2.3.4", "1.2.3", "1.2.3.4.5", "1.2.3.4\n", "1..2.3", "10.0.0.1", "192.168.3.5",
		"172.16.0.1", "100.64.0.9", "8.8.8.8", "127.0.0.1", "::01.2.3.4", "::1.2.3.256"}
	for groups := range 10 {
		for _, tail := range []string{"", "10.0.0.1"} {
			parts := make([]string, 0, groups+1)
			for i := range groups {
				parts = append(parts, fmt.Sprintf("%x", i*273))
			}
			if tail != "" {
				parts = append(parts, tail)
			}
			out = append(out, strings.Join(parts, ":"))
			for gap := range len(parts) + 1 {
				out = append(out, strings.Join(parts[:gap], ":")+"::"+strings.Join(parts[gap:], ":"))
			}
		}
	}
	return out
}

func TestLinkNames(t *testing.T) {
	ok := typedef(t, mustLoad(t), "linux-link-name")
	for name, want := range map[string]bool{
		"lo": true, "eth0": true, "sr0": true, "e1.110": true, "..a": true, "...": true, "-x": true, "abcdefghijklmno": true,
		"": false, ".": false, "..": false, "a/b": false, "a b": false, "a\tb": false, "a:b": false, "eth%d": false, "abcdefghijklmnop": false, "a\n": false,
	} {
		if ok(name) != want {
			t.Errorf("link name %q: accepted %v, want %v", name, !want, want)
		}
	}
}
