package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"heddle/kernel/object"
	"heddle/schema"
)

const (
	inDefault = "/network-instances/network-instance[name=DEFAULT]"
	srv6      = inDefault + "/segment-routing/srv6"
	statics   = inDefault + "/protocols/protocol[identifier=STATIC][name=s]/static-routes"
)

func sidPath(a netip.Addr) string { return srv6 + "/sids/sid[address=" + a.String() + "]" }

// end configures a SID that the kernel holds.
func (w *world) end(a netip.Addr) schema.Edit {
	w.wants.hold(sidPath(a), &object.LocalSID{SID: a, Table: object.TableMain, Behavior: object.End, Dev: "sr0"})
	return w.edit(schema.Update, sidPath(a)+"/config", `{"behavior": "END"}`)
}

// TestSID follows the counters of a SID through its life.
func TestSID(t *testing.T) {
	w := newWorld(t)
	path := sidPath(sidA)
	packets := path + "/state/counters/packets"
	kernelHas := func(n uint64) { w.kernel.set(func(k *kernel) { k.counters[sidA] = count(n) }) }
	w.commit(w.end(sidA))
	w.expect(path+"/state/programmed", "true")
	w.expect(packets, "")
	kernelHas(7)
	w.refresh(packets)
	w.expect(packets, `"7"`)

	// Another description: nothing happens to the counters.
	w.commit(w.edit(schema.Update, path+"/config", `{"description": "transit"}`))
	w.expect(packets, `"7"`)
	w.expect(path+"/state/description", `"transit"`)

	// Replaced.
	written, _ := w.tel.counters.Writing(context.Background(), []netip.Addr{sidA})
	kernelHas(0)
	written(func(int) bool { return true })
	w.wants.hold(path, &object.LocalSID{SID: sidA, Table: object.TableMain, Behavior: object.EndDT6, VRFTable: object.TableMain, Dev: "sr0"})
	w.commit(w.edit(schema.Update, path+"/config", `{"behavior": "END_DT6", "network-instance": "DEFAULT"}`),
		w.edit(schema.Update, inDefault+"/config", `{"type": "DEFAULT_INSTANCE"}`))
	w.expect(path+"/state/network-instance", `"DEFAULT"`)
	kernelHas(9)
	w.refresh("/")
	w.expect(packets, `"16"`)

	// Withheld: nothing counts, nothing is told, and nothing is forgotten.
	w.wants.hold(path)
	delete(w.wants.have, object.LocalSIDKey(sidA))
	w.wants.withheld[path] = "network instance DEFAULT is disabled"
	written, _ = w.tel.counters.Writing(context.Background(), []netip.Addr{sidA})
	w.kernel.set(func(k *kernel) { delete(k.counters, sidA) })
	written(func(int) bool { return true })
	w.commit(w.edit(schema.Update, inDefault+"/config", `{"enabled": false}`))
	w.tel.Configured(w.config, w.rev, []schema.EntryKey{w.path(path).Entry()})
	w.expect(path+"/state/programmed", "false")
	w.expect(path+"/state/programmed-reason", `"network instance DEFAULT is disabled"`)
	w.expect(path+"/state/counters", "")
	w.refresh("/")
	w.expect(path+"/state/counters", "")
	delete(w.wants.withheld, path)
	w.commit(w.end(sidA))
	w.expect(packets, `"16"`)

	// Deleted and configured again: another SID.
	w.commit(w.edit(schema.Delete, path, ""))
	w.expect(path, "")
	w.commit(w.end(sidA))
	w.expect(path+"/state/counters", "")
	kernelHas(2)
	w.refresh(packets)
	w.expect(packets, `"2"`)
}

// TestKernelHoldsAnother: state tells what the kernel has, and that it is not
// what was asked for.
func TestKernelHoldsAnother(t *testing.T) {
	w := newWorld(t)
	edit := w.end(sidA)
	w.wants.have[object.LocalSIDKey(sidA)] = &object.LocalSID{SID: sidA, Table: object.TableMain, Behavior: object.EndX, NextHop: netip.MustParseAddr("2001:db8::9"), OutLink: "e1", Dev: "sr0"}
	w.commit(edit)
	w.expect(sidPath(sidA)+"/state", `{"heddle-srv6:address":"2001:db8:1::a","heddle-srv6:behavior":"heddle-srv6:END_X","heddle-srv6:interface":"e1","heddle-srv6:next-hop":"2001:db8::9",`+
		`"heddle-srv6:programmed":false,"heddle-srv6:programmed-reason":"the kernel does not hold sid 2001:db8:1::a action End dev sr0","heddle-srv6:standalone":false}`)
}

// TestRefreshReads: a few SIDs are read by their keys, many with one dump.
func TestRefreshReads(t *testing.T) {
	w := newWorld(t)
	var edits []schema.Edit
	for i := range 40 {
		a := netip.MustParseAddr(fmt.Sprintf("2001:db8:1::%x", i+1))
		edits = append(edits, w.end(a))
		w.kernel.counters[a] = count(2)
	}
	w.commit(edits...)
	for path, want := range map[string]string{
		sidPath(netip.MustParseAddr("2001:db8:1::7")):         "sids",
		sidPath(netip.MustParseAddr("2001:db8:9::7")):         "",
		srv6 + "/sids/sid/state/counters":                     "all sids",
		inDefault + "/segment-routing":                        "all sids",
		"/network-instances/network-instance[name=blue]":      "",
		"/network-instances/network-instance/segment-routing": "all sids",
		srv6 + "/sids/sid[address=*]/state/programmed":        "",
		"/system": "",
	} {
		w.refresh(path)
		if got := strings.Join(w.kernel.took(), ", "); got != want {
			t.Errorf("%s: read %q, want %q", path, got, want)
		}
	}
	w.kernel.fail["sids"] = errKernel
	if err := w.tel.Refresh(t.Context(), []schema.Path{w.path("/")}); err == nil {
		t.Error("counters that cannot be read are no error")
	}
}

func hop(gateway, link string, segments ...string) object.NextHop {
	n := object.NextHop{Link: link}
	if gateway != "" {
		n.Gateway = netip.MustParseAddr(gateway)
	}
	if len(segments) > 0 {
		n.Encap = &object.Encap{Mode: object.HEncaps}
		for _, s := range segments {
			n.Encap.Segments = append(n.Encap.Segments, netip.MustParseAddr(s))
		}
	}
	return n
}

// TestStaticRoute shows next hops as the kernel's routes have them.
func TestStaticRoute(t *testing.T) {
	w := newWorld(t)
	static := statics + "/static[prefix=2001:db8:9::/48]"
	p := netip.MustParsePrefix("2001:db8:9::/48")
	route := &object.Route{Table: object.TableMain, Prefix: p, NextHops: []object.NextHop{
		hop("", "sr0", "2001:db8:1::1", "2001:db8:2::1"), hop("2001:db8::1", "e1"),
	}}
	backup := &object.Route{Table: object.TableMain, Prefix: p, Metric: 2000, Type: object.Blackhole}
	w.wants.hold(static, route, backup)
	w.commit(
		w.edit(schema.Update, "/interfaces", `{"interface": [{"name": "e1"}]}`),
		w.edit(schema.Update, static+"/config", `{"description": "far"}`),
		w.edit(schema.Update, static+"/next-hops", `{"next-hop": [
			{"index": "a", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:1::1", "2001:db8:2::1"]}}},
			{"index": "b", "config": {"next-hop": "2001:db8::1"}},
			{"index": "c", "config": {"next-hop": "DROP", "metric": 2000}},
			{"index": "d", "config": {"next-hop": "2001:db8::2"}},
			{"index": "e", "srv6-encapsulation": {"config": {"segment-list": ["2001:db8:1::1"]}}},
			{"index": "f", "config": {"next-hop": "2001:db8::1"}, "interface-ref": {"config": {"interface": "e1"}}}]}`),
	)
	w.golden("static.json", static)
	if n := slices.Index(w.wants.asked, static); n < 0 || slices.Contains(w.wants.asked[n+1:], static) {
		t.Errorf("the prefix is not translated once: %v", w.wants.asked)
	}

	// A next hop that goes takes its state along, and the others are made anew.
	w.wants.hold(static, &object.Route{Table: object.TableMain, Prefix: p, NextHops: []object.NextHop{hop("2001:db8::1", "e1")}})
	w.commit(w.edit(schema.Delete, static+"/next-hops/next-hop[index=a]", ""))
	w.expect(static+"/next-hops/next-hop[index=a]", "")
	w.expect(static+"/next-hops/next-hop[index=b]/state/metric", "1024")
	w.expect(static+"/next-hops/next-hop[index=c]/state/metric", "")

	// By a next hop that it shares with others, the route leads where that does.
	shared := object.HopByContent(hop("", "sr0", "2001:db8:1::1"))
	by := &object.Route{Table: object.TableMain, Prefix: p, SharedHop: shared.ID}
	w.wants.hold(statics+"/static[prefix=2001:db8:8::/48]", shared)
	w.wants.hold(static, by)
	w.commit(w.edit(schema.Update, static+"/config", `{"description": "far out"}`))
	w.expect(static+"/next-hops/next-hop[index=e]/state/metric", "1024")
	w.expect(static+"/next-hops/next-hop[index=e]/srv6-encapsulation/state/segment-list", `["2001:db8:1::1"]`)
	w.expect(static+"/next-hops/next-hop[index=b]/state/metric", "")
	w.expect(static+"/state/programmed", "true")
	w.wants.have[shared.Key()] = &object.SharedNextHop{ID: shared.ID, Hop: hop("", "sr0", "2001:db8:3::1")}
	w.commit(w.edit(schema.Update, static+"/config", `{"description": "far away"}`))
	w.expect(static+"/state/programmed", "false")
	w.expect(static+"/next-hops/next-hop[index=e]/state/metric", "")
	w.wants.hold(static, route)

	// Withheld in part: what the kernel holds is shown nevertheless.
	w.wants.withheld[static] = "interface e2 is disabled"
	w.commit(w.edit(schema.Update, static+"/config", `{"description": "further"}`))
	w.expect(static+"/state/programmed-reason", `"interface e2 is disabled"`)
	w.expect(static+"/next-hops/next-hop[index=b]/state/next-hop", `"2001:db8::1"`)

	w.commit(w.edit(schema.Delete, static, ""))
	w.expect(static, "")
	w.wants.hold(static)
	delete(w.wants.withheld, static)
	w.commit(w.edit(schema.Update, static+"/config", `{}`), w.edit(schema.Update, static+"/config/description", `"bare"`))
	w.expect(static+"/state/programmed", "false")
}

// TestSIDInterface: the link that carries the SIDs comes and goes with them, by a
// commit that is not about the default instance.
func TestSIDInterface(t *testing.T) {
	w := newWorld(t)
	path := srv6 + "/state/sid-interface"
	w.commit(w.edit(schema.Update, inDefault+"/config", `{"type": "DEFAULT_INSTANCE"}`))
	w.expect(path, "")
	w.wants.have[object.LinkConfigKey("sr0")] = object.LinkConfig{Link: "sr0", Admin: object.AdminUp}
	w.commit(w.end(sidA))
	w.expect(path, `"sr0"`)
	delete(w.wants.have, object.LinkConfigKey("sr0"))
	w.commit(w.edit(schema.Delete, sidPath(sidA), ""))
	w.expect(path, "")
	w.wants.have[object.LinkConfigKey("e1")] = object.LinkConfig{Link: "e1", Admin: object.AdminDown}
	w.commit(w.edit(schema.Update, srv6+"/config", `{"sid-interface": "e1"}`))
	w.expect(path, "")
}

func TestRevision(t *testing.T) {
	w := newWorld(t)
	w.expect("/system/state/config-revision", `"0"`)
	w.commit(w.edit(schema.Update, inDefault+"/config", `{"type": "DEFAULT_INSTANCE"}`))
	w.expect("/system/state/config-revision", `"1"`)
}

// TestEvents: one change is one event, with each entry once and in order; what
// is as it was is none.
func TestEvents(t *testing.T) {
	w := newWorld(t, ethernet("e1"))
	_, feed := w.tel.Watch()
	defer feed.Close()
	w.refresh("/")
	w.refresh("/")
	w.commit(w.end(sidA), w.edit(schema.Update, inDefault+"/config", `{"type": "DEFAULT_INSTANCE"}`))
	for i, want := range []string{
		"/interfaces/interface[name=e1] /interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]",
		"/ " + inDefault + " " + sidPath(sidA),
	} {
		e, lost, err := feed.Next(t.Context())
		if err != nil || lost {
			t.Fatal(lost, err)
		}
		var got []string
		for _, c := range e.Changes {
			got = append(got, w.tel.schema.Text(c.Key))
		}
		if strings.Join(got, " ") != want {
			t.Errorf("event %d: %v", i, got)
		}
	}
	if e, _, _ := feed.Next(canceled()); e.Snapshot != nil {
		t.Errorf("one more event: %v", e.Changes)
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// TestConcurrent has everybody at it at the same time, for the race detector; in
// the end state is as if nobody else had been there.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, ethernet("e1"), veth("e2", "e3"), veth("e3", "e2"))
	w.wants.hold(sidPath(sidA), &object.LocalSID{SID: sidA, Table: object.TableMain, Behavior: object.End, Dev: "sr0"})
	edit := w.end(sidA)
	w.commit(edit, w.edit(schema.Update, "/interfaces", `{"interface": [{"name": "e1", "config": {"description": "x"}}]}`))
	ctx, cancel := context.WithCancel(context.Background())
	var run, wg sync.WaitGroup
	started := make(chan struct{})
	run.Go(func() {
		if err := w.tel.Run(ctx, func() { close(started) }); err != nil {
			t.Error(err)
		}
	})
	<-started
	const rounds = 100
	for _, path := range []string{"/", sidPath(sidA), "/interfaces/interface[name=e2]", "/interfaces"} {
		p := []schema.Path{w.path(path)}
		wg.Go(func() {
			for range rounds {
				if err := w.tel.Refresh(ctx, p); err != nil {
					t.Error(err)
				}
				w.tel.Snapshot().Scan("", func(schema.EntryKey, schema.GoStruct) bool { return true })
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			w.tel.Configured(w.config, w.rev, []schema.EntryKey{w.path(sidPath(sidA)).Entry(), w.path("/interfaces/interface[name=e1]").Entry()})
		}
	})
	wg.Go(func() {
		for i := range rounds {
			w.kernel.set(func(k *kernel) {
				c := k.counters[sidA]
				k.counters[sidA] = object.SIDCounters{Packets: c.Packets + 1, Octets: c.Octets + 100}
				l := k.links["e1"]
				l.Up = i%2 == 1
				k.links["e1"] = l
			})
			written, _ := w.tel.counters.Writing(ctx, []netip.Addr{sidA})
			w.kernel.set(func(k *kernel) { k.counters[sidA] = object.SIDCounters{} })
			written(func(int) bool { return true })
			if i%10 == 0 {
				w.kernel.tell(LinkEvent{Link: "e1"})
			}
		}
	})
	wg.Wait()
	w.refresh("/")
	cancel()
	run.Wait()
	w.expect(sidPath(sidA)+"/state/counters/packets", fmt.Sprintf("%q", fmt.Sprint(rounds)))
	w.expect("/interfaces/interface[name=e1]/state/enabled", "true")
	w.expect("/interfaces/interface[name=e1]/state/description", `"x"`)
}

// TestSIDOfEachKind: what the kernel holds of a SID is shown, leaf by leaf.
func TestSIDOfEachKind(t *testing.T) {
	w := newWorld(t)
	hop := netip.MustParseAddr
	for _, c := range []struct {
		have           object.LocalSID
		behavior, rest string
	}{
		{object.LocalSID{Behavior: object.EndT, VRF: "blue", VRFTable: 110}, "END_T", `,"heddle-srv6:network-instance":"blue"`},
		{object.LocalSID{Behavior: object.EndT, VRFTable: object.TableMain}, "END_T", `,"heddle-srv6:network-instance":"DEFAULT"`},
		{object.LocalSID{Behavior: object.EndDX2, OutLink: "e1"}, "END_DX2", `,"heddle-srv6:interface":"e1"`},
		{object.LocalSID{Behavior: object.EndDX4}, "END_DX4", ""},
		{object.LocalSID{Behavior: object.EndDX4, NextHop: hop("192.0.2.1")}, "END_DX4", `,"heddle-srv6:next-hop":"192.0.2.1"`},
		{object.LocalSID{Behavior: object.EndDX6, NextHop: hop("2001:db8::9")}, "END_DX6", `,"heddle-srv6:next-hop":"2001:db8::9"`},
	} {
		c.have.SID, c.have.Table, c.have.Dev = sidA, object.TableMain, "sr0"
		w.wants.hold(sidPath(sidA), &c.have)
		w.commit(w.edit(schema.Replace, sidPath(sidA)+"/config", `{"behavior": "END", "description": "`+c.have.String()+`"}`))
		w.expect(sidPath(sidA)+"/state", `{"heddle-srv6:address":"2001:db8:1::a","heddle-srv6:behavior":"heddle-srv6:`+c.behavior+`","heddle-srv6:description":"`+c.have.String()+`"`+c.rest+
			`,"heddle-srv6:programmed":true,"heddle-srv6:standalone":false}`)
	}
	w.wants.hold(sidPath(sidA), &object.LocalSID{SID: sidA, Table: object.TableMain, Behavior: object.EndB6, Dev: "sr0",
		Policy: &object.Encap{Mode: object.HInsert, Segments: []netip.Addr{hop("2001:db8:3::1"), hop("2001:db8:2::1")}}})
	w.commit(w.edit(schema.Replace, sidPath(sidA)+"/config", `{"behavior": "END"}`))
	w.expect(sidPath(sidA)+"/flavors/state", "")
	w.expect(sidPath(sidA)+"/policy/state", `{"heddle-srv6:segment-list":["2001:db8:3::1","2001:db8:2::1"]}`)
	w.wants.hold(sidPath(sidA), &object.LocalSID{SID: sidA, Table: object.TableMain, Behavior: object.End, Dev: "sr0",
		Flavors: object.NextCSID, BlockLength: 40, NodeFunctionLength: 88})
	w.commit(w.edit(schema.Replace, sidPath(sidA)+"/config", `{"behavior": "END", "description": "x"}`))
	w.expect(sidPath(sidA)+"/policy/state", "")
	w.expect(sidPath(sidA)+"/flavors/state", `{"heddle-srv6:flavor":["heddle-srv6:NEXT_CSID"],"heddle-srv6:locator-block-length":40,"heddle-srv6:locator-node-function-length":88}`)
}

// TestEveryHeadendMode: the mode and the source of an encapsulation are those of the
// kernel, and a next hop is shown if the kernel's is the one that is meant.
func TestEveryHeadendMode(t *testing.T) {
	w := newWorld(t)
	static := statics + "/static[prefix=2001:db8:9::/48]"
	at := static + "/next-hops/next-hop[index=a]/srv6-encapsulation"
	from := netip.MustParseAddr("2001:db8::5")
	for mode, name := range map[object.EncapMode]string{
		object.HEncaps: "H_ENCAPS", object.HEncapsRed: "H_ENCAPS_RED", object.HInsert: "H_INSERT",
		object.HEncapsL2: "H_ENCAPS_L2", object.HEncapsL2Red: "H_ENCAPS_L2_RED",
	} {
		n := hop("", "sr0", "2001:db8:1::1")
		n.Encap.Mode, n.Encap.Source = mode, from
		w.wants.hold(static, &object.Route{Table: object.TableMain, Prefix: netip.MustParsePrefix("2001:db8:9::/48"), NextHops: []object.NextHop{n}})
		w.commit(w.edit(schema.Replace, static, `{"config": {"description": "`+name+`"}, "next-hops": {"next-hop": [{"index": "a",
			"srv6-encapsulation": {"config": {"mode": "`+name+`", "segment-list": ["2001:db8:1::1"], "source-address": "2001:db8::5"}}}]}}`))
		w.expect(at+"/state/mode", `"heddle-srv6:`+name+`"`)
		w.expect(at+"/state/source-address", `"2001:db8::5"`)
		w.commit(w.edit(schema.Delete, at+"/config/source-address", ""))
		w.expect(at+"/state/mode", "")
	}
}

// TestDynamicSID: what a dynamic SID came to is in its list, and by its address among
// the SIDs, counters and all; it goes along when the address is another one.
func TestDynamicSID(t *testing.T) {
	w := newWorld(t)
	sidB := sidA.Next()
	path := func(name string) string { return srv6 + "/dynamic-sids/dynamic-sid[name=" + name + "]" }
	give := func(at map[netip.Addr]string) {
		w.wants.dynamic = at
		for sid, path := range at {
			w.wants.hold(path, &object.LocalSID{SID: sid, Table: object.TableMain, Behavior: object.EndX, NextHop: sidB, Flavors: object.NextCSID, BlockLength: 32, NodeFunctionLength: 32, Dev: "sr0"})
		}
	}
	one, two := path("one"), path("two")
	edit := func(path, about string) schema.Edit {
		return w.edit(schema.Update, path+"/config", `{"behavior": "END_X", "description": "`+about+`"}`)
	}
	give(map[netip.Addr]string{sidA: one, sidB: two})
	w.commit(edit(one, "1"), edit(two, "1"))
	w.expect(one+"/state/sid", `"`+sidA.String()+`"`)
	w.expect(one+"/state/programmed", "true")
	w.expect(one+"/state/behavior", `"heddle-srv6:END_X"`)
	w.expect(one+"/flavors/state/flavor", `["heddle-srv6:NEXT_CSID"]`)
	w.expect(sidPath(sidA)+"/state/description", `"1"`)
	w.expect(sidPath(sidB)+"/state/programmed", "true")
	w.kernel.set(func(k *kernel) { k.counters[sidA], k.counters[sidB] = count(5), count(6) })
	w.refresh(sidPath(sidA) + "/state/counters")
	w.expect(sidPath(sidA)+"/state/counters/packets", `"5"`)

	// They swap their addresses.
	give(map[netip.Addr]string{sidB: one, sidA: two})
	w.commit(edit(one, "2"), edit(two, "3"))
	w.expect(two+"/state/sid", `"`+sidA.String()+`"`)
	w.expect(sidPath(sidA)+"/state/description", `"3"`)
	w.expect(sidPath(sidB)+"/state/description", `"2"`)

	// One has no place any more, and one goes.
	give(map[netip.Addr]string{sidB: one})
	w.commit(edit(two, "4"))
	w.expect(two+"/state/sid", "")
	w.expect(two+"/state/programmed", "false")
	w.expect(sidPath(sidA)+"/state/address", "")
	give(nil)
	w.commit(w.edit(schema.Delete, one, ""))
	w.expect(one+"/state/name", "")
	w.expect(sidPath(sidB)+"/state/address", "")

	// A SID with an address takes the place of a dynamic one, and the other way round.
	give(map[netip.Addr]string{sidA: two})
	w.commit(edit(two, "5"))
	give(nil)
	w.commit(w.edit(schema.Delete, two, ""), w.end(sidA))
	w.expect(sidPath(sidA)+"/state/behavior", `"heddle-srv6:END"`)
	give(map[netip.Addr]string{sidA: two})
	w.commit(w.edit(schema.Delete, sidPath(sidA), ""), edit(two, "6"))
	w.expect(sidPath(sidA)+"/state/behavior", `"heddle-srv6:END_X"`)
}
