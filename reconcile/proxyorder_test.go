package reconcile_test

import (
	"testing"

	"heddle/kernel/object"
)

// opened is a proxy that opens packets; masked one that does not.
func opened() []object.Object {
	sid := addr("fc00::ad")
	return []object.Object{dummy("sr0"), up("sr0"),
		&object.LocalSID{SID: sid, Table: object.TableMain, Behavior: object.EndDX4, NextHop: addr("192.0.2.2"), Dev: "sr0"},
		&object.Proxy{SID: sid, Behavior: object.EndAD, Inner: object.InnerIPv4, In: "ext0"}}
}

func masked() []object.Object {
	p := &object.Proxy{SID: addr("fc00::ad"), Behavior: object.EndAM, In: "ext0", Out: "ext1"}
	return []object.Object{dummy("sr0"), up("sr0"), p.Ports()[0], p.Ports()[1], p,
		route("", object.TableMain, "fc00::ad/128", "fe80::2 dev ext1")}
}

// TestProxyOrder: the way to an NF is there only while the programs are that see what
// comes back: no packet leaves without headers, and none with a SID as destination.
func TestProxyOrder(t *testing.T) {
	link := core()[:2]
	for _, tt := range []struct {
		name       string
		have, want []object.Object
		plan       string
	}{
		{"opening comes", link, opened(), `
			add proxy fc00::ad action End.AD inner ipv4 iif ext0
			--
			add sid fc00::ad action End.DX4 nh4 192.0.2.2 dev sr0`},
		{"opening goes", opened(), link, `
			del sid fc00::ad action End.DX4 nh4 192.0.2.2 dev sr0
			--
			del proxy fc00::ad action End.AD inner ipv4 iif ext0`},
		{"masquerading comes", link, masked(), `
			add proxy port masquerade ext1
			add proxy port unmask ext0
			--
			add proxy fc00::ad action End.AM oif ext1 iif ext0
			--
			add route fc00::ad/128 via fe80::2 dev ext1`},
		{"masquerading goes", masked(), link, `
			del route fc00::ad/128 via fe80::2 dev ext1
			--
			del proxy fc00::ad action End.AM oif ext1 iif ext0
			--
			del proxy port masquerade ext1
			del proxy port unmask ext0`},
		{"one becomes the other", opened(), masked(), `
			add proxy port masquerade ext1
			add proxy port unmask ext0
			--
			del sid fc00::ad action End.DX4 nh4 192.0.2.2 dev sr0
			--
			del proxy fc00::ad action End.AD inner ipv4 iif ext0
			--
			add proxy fc00::ad action End.AM oif ext1 iif ext0
			--
			add route fc00::ad/128 via fe80::2 dev ext1`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, r := running(t, tt.have...)
			p, err := r.Plan(from(tt.have, tt.want))
			if err != nil {
				t.Fatal(err)
			}
			sameText(t, "plan", text(p), tt.plan)
			if err := r.Apply(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			fresh, _ := running(t, tt.want...)
			sameText(t, "kernel", f.Snapshot(), fresh.Snapshot())
		})
	}
}
