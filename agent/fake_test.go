package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/netip"
	"regexp"
	"slices"

	"pgregory.net/rapid"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/translators"
)

// fakeView shows telemetry the links of a fake kernel. A SID has counted as many
// packets as its octets say.
type fakeView struct {
	*kerneltest.Fake
	foreign []string // links that are not ours
}

func (v fakeView) Links(ctx context.Context) ([]object.LinkState, []object.AddressState, error) {
	names := v.foreign
	ours, err := v.Dump(ctx, object.KindLink)
	if err != nil {
		return nil, nil, err
	}
	for _, o := range ours {
		names = append(names, o.(object.Link).Name)
	}
	var links []object.LinkState
	var addresses []object.AddressState
	for i, name := range names {
		l, a, ok, err := v.Link(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		if ok {
			l.Index = i + 1
			links, addresses = append(links, l), append(addresses, a...)
		}
	}
	return links, addresses, nil
}

func (v fakeView) Link(ctx context.Context, name string) (object.LinkState, []object.AddressState, bool, error) {
	o, ok := v.Get(object.LinkKey(name))
	if !ok {
		return object.LinkState{}, nil, false, nil
	}
	link := o.(object.Link)
	l := object.LinkState{
		Name: name, Kind: string(link.Type), Type: 1, Table: link.Table, Peer: link.Peer,
		Parent: link.Parent, VLAN: link.VLAN, Tunnel: link.Tunnel,
		Ours: !slices.Contains(v.foreign, name), Oper: object.OperUp,
	}
	if name == "lo" {
		l.Type = 772
	}
	if c, ok := v.Get(object.LinkConfigKey(name)); ok {
		l.MTU, l.Up = c.(object.LinkConfig).MTU, c.(object.LinkConfig).Admin == object.AdminUp
	}
	if l.MTU == 0 {
		l.MTU = 1500 // the fake tells what was set
	}
	if m, ok := v.Get(object.MemberKey(name)); ok {
		l.Master = m.(object.Member).Master
		if o, ok := v.Get(object.LinkKey(l.Master)); ok && o.(object.Link).Type == object.LinkBridge {
			l.Bridge = l.Master
		}
	}
	all, err := v.Dump(ctx, object.KindAddress)
	var addresses []object.AddressState
	for _, o := range all {
		if a := o.(object.Address); a.Link == name {
			addresses = append(addresses, object.AddressState{Link: name, Prefix: a.Prefix, Ours: true, Permanent: true})
		}
	}
	return l, addresses, true, err
}

func (v fakeView) Proxies(ctx context.Context, _ []netip.Addr) (read []object.ProxyReading, err error) {
	all, err := v.Dump(ctx, object.KindProxy)
	for _, o := range all {
		read = append(read, object.ProxyReading{SID: o.(*object.Proxy).SID, Mode: o.(*object.Proxy).Mode})
	}
	return read, err
}

func (v fakeView) SIDCounters(ctx context.Context, _ []netip.Addr, fn func([]object.SIDReading)) error {
	all, err := v.Dump(ctx, object.KindLocalSID)
	for _, o := range all {
		fn([]object.SIDReading{{SID: o.(*object.LocalSID).SID}})
	}
	return err
}

func (v fakeView) Watch(context.Context) (<-chan telemetry.LinkEvent, error) { return nil, nil }

// fakeAgent is an agent on a fake kernel, with nobody who serves.
func fakeAgent(t rapid.TB, fake *kerneltest.Fake, dir string, foreign ...string) *Agent {
	t.Helper()
	a := newAgent(Config{StateDir: dir, Log: slog.New(slog.DiscardHandler)})
	startOn(t, a, fake, fakeView{fake, append([]string{"lo"}, foreign...)})
	return a
}

// startOn starts an agent on a kernel as far as it can be without one that serves.
func startOn(t rapid.TB, a *Agent, driver reconcile.Driver, view telemetry.Kernel) {
	t.Helper()
	if err := a.wire(driver, view, translators.Kernel{}); err != nil {
		t.Fatal(err)
	}
	if err := a.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	a.late.wait()
}

func edit(t rapid.TB, sc *schema.Schema, op schema.Op, path, doc string) schema.Edit {
	t.Helper()
	p, err := sc.ParsePath(path)
	if err != nil {
		t.Fatal(err)
	}
	e := schema.Edit{Op: op, Path: p, Encoding: schema.JSONIETF}
	if op != schema.Delete {
		e.JSON = []byte(doc)
	}
	return e
}

// shown is the whole state of the tree, links and counters read just now.
func shown(t rapid.TB, sc *schema.Schema, tel *telemetry.Telemetry) string {
	t.Helper()
	if err := tel.Refresh(context.Background(), []schema.Path{{}}); err != nil {
		t.Fatal(err)
	}
	var b, indented bytes.Buffer
	if _, err := sc.EncodeJSON(&b, []schema.Tree{tel.Snapshot()}, nil, schema.EncodeOptions{Encoding: schema.JSONIETF}); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&indented, b.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	return volatile.ReplaceAllString(indented.String()+"\n", `"$1": "..."`)
}

// volatile is what depends on the machine, the run, or the links' history.
var volatile = regexp.MustCompile(`"(last-change|ifindex|boot-time|agent-start-time|hostname|kernel-release|software-version)": "?[^",]*"?`)

// fresh is the state of a telemetry that has seen nothing but the present.
func fresh(t rapid.TB, a *Agent, view telemetry.Kernel) string {
	t.Helper()
	tel, err := telemetry.New(telemetry.Config{
		Schema: a.schema, Kernel: view, Intent: a.applier, Actual: a.applier, Log: a.log,
		System: telemetry.System{AgentStart: a.started}, Drift: a.drift.counts,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Close()
	now := a.store.Snapshot()
	tel.Configured(now, now.Revision(), a.allEntries())
	return shown(t, a.schema, tel)
}
