package datastore

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"heddle/schema"
)

// naive is a reference datastore: maps, copied whole for every request.
type naive struct {
	links map[string]string // name to description, "-" without one
	vrfs  map[string]bool
	sids  map[int]naiveSID
}

type naiveSID struct{ by, into string }

func (n naive) clone() naive {
	return naive{maps.Clone(n.links), maps.Clone(n.vrfs), maps.Clone(n.sids)}
}

// valid says whether all references lead somewhere.
func (n naive) valid() bool {
	for _, s := range n.sids {
		if _, ok := n.links[s.by]; s.by != "" && !ok {
			return false
		}
		if s.into != "" && !n.vrfs[s.into] {
			return false
		}
	}
	return true
}

// lines describes a configuration, one entry a line.
func (n naive) lines() []string {
	var out []string
	for name, d := range n.links {
		out = append(out, fmt.Sprintf("link %s %q", name, d))
	}
	for name := range n.vrfs {
		out = append(out, "vrf "+name)
	}
	for i, s := range n.sids {
		out = append(out, fmt.Sprintf("sid %d %s %s", i, s.by, s.into))
	}
	slices.Sort(out)
	return out
}

// linesOf describes a snapshot in the same way, by way of its JSON.
func linesOf(t testing.TB, s *Snapshot) []string {
	t.Helper()
	var doc struct {
		Links struct {
			List []struct {
				Name   string
				Config struct{ Description *string }
			} `json:"interface"`
		} `json:"heddle-interfaces:interfaces"`
		Instances struct {
			List []struct {
				Name string
				SR   struct {
					SRv6 struct {
						SIDs struct {
							List []struct {
								Address string
								Config  struct {
									Interface string
									Instance  string `json:"network-instance"`
								}
							} `json:"sid"`
						}
					} `json:"heddle-srv6:srv6"`
				} `json:"segment-routing"`
			} `json:"network-instance"`
		} `json:"heddle-network-instance:network-instances"`
	}
	if err := json.Unmarshal([]byte(text(t, s)), &doc); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range doc.Links.List {
		d := "-"
		if l.Config.Description != nil {
			d = *l.Config.Description
		}
		out = append(out, fmt.Sprintf("link %s %q", l.Name, d))
	}
	for _, i := range doc.Instances.List {
		out = append(out, "vrf "+i.Name)
		for _, sid := range i.SR.SRv6.SIDs.List {
			var n int
			if _, err := fmt.Sscanf(sid.Address, "2001:db8:0:1:%x::", &n); err != nil {
				t.Fatalf("%s: %v", sid.Address, err)
			}
			out = append(out, fmt.Sprintf("sid %d %s %s", n, sid.Config.Interface, sid.Config.Instance))
		}
	}
	slices.Sort(out)
	return out
}

var (
	linkNames = []string{"e1", "e2", "e3"}
	vrfNames  = []string{"DEFAULT", "blue", "red"}
)

// randomEdit draws an edit and does the same to the reference.
func randomEdit(t *rapid.T, n *naive) schema.Edit {
	link1 := rapid.SampledFrom(linkNames).Draw(t, "link")
	vrf := rapid.SampledFrom(vrfNames).Draw(t, "instance")
	num := rapid.IntRange(1, 4).Draw(t, "sid")
	sidPath := fmt.Sprintf("%s/sid[address=2001:db8:0:1:%x::]", sids, num)
	p := func(s string) schema.Path {
		path, err := must(heddle()).ParsePath(s)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	set := func(op schema.Op, path, json string) schema.Edit {
		return schema.Edit{Op: op, Path: p(path), JSON: []byte(json)}
	}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		d := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "description")
		n.links[link1] = d
		return set(schema.Update, "/interfaces/interface[name="+link1+"]", fmt.Sprintf(`{"config":{"description":%q}}`, d))
	case 1:
		n.links[link1] = "-"
		return set(schema.Replace, "/interfaces/interface[name="+link1+"]", fmt.Sprintf(`{"name":%q}`, link1))
	case 2:
		delete(n.links, link1)
		return schema.Edit{Op: schema.Delete, Path: p("/interfaces/interface[name=" + link1 + "]")}
	case 3:
		n.vrfs[vrf] = true
		return set(schema.Update, "/network-instances/network-instance[name="+vrf+"]", fmt.Sprintf(`{"config":{"name":%q}}`, vrf))
	case 4:
		delete(n.vrfs, vrf)
		if vrf == "DEFAULT" {
			clear(n.sids)
		}
		return schema.Edit{Op: schema.Delete, Path: p("/network-instances/network-instance[name=" + vrf + "]")}
	case 5:
		n.vrfs["DEFAULT"] = true
		n.sids[num] = naiveSID{by: link1}
		return set(schema.Replace, sidPath, fmt.Sprintf(`{"address":"2001:db8:0:1:%x::","config":{"interface":%q}}`, num, link1))
	case 6:
		n.vrfs["DEFAULT"] = true
		s := n.sids[num]
		s.into = vrf
		n.sids[num] = s
		return set(schema.Update, sidPath, fmt.Sprintf(`{"config":{"network-instance":%q}}`, vrf))
	case 7:
		delete(n.sids, num)
		return schema.Edit{Op: schema.Delete, Path: p(sidPath)}
	case 8:
		n.links = map[string]string{}
		var list []string
		for _, name := range rapid.SliceOfDistinct(rapid.SampledFrom(linkNames), rapid.ID).Draw(t, "links") {
			n.links[name] = "-"
			list = append(list, fmt.Sprintf(`{"name":%q}`, name))
		}
		return set(schema.Replace, "/interfaces", `{"interface":[`+strings.Join(list, ",")+`]}`)
	default:
		clear(n.sids)
		return schema.Edit{Op: schema.Delete, Path: p(sids + "/sid[address=*]")}
	}
}

func must(s *schema.Schema, err error) *schema.Schema {
	if err != nil {
		panic(err)
	}
	return s
}

// TestAgainstNaiveStore does random requests to the store and to a reference,
// with restarts, kills, kernels that refuse and disks that fail in between: the
// two agree after each, the disk and the kernel with them.
func TestAgainstNaiveStore(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		r := start(t, newMemFS(), &kernel{})
		ref := naive{map[string]string{}, map[string]bool{}, map[int]naiveSID{}}
		compare := func() {
			if got, want := linesOf(t, r.Snapshot()), ref.lines(); !slices.Equal(got, want) {
				rt.Fatalf("the store holds\n%s\nthe reference\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			r.agree()
			if t.Failed() {
				rt.FailNow()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"": func(*rapid.T) { compare() },
			"request": func(rt *rapid.T) {
				next := ref.clone()
				var edits []schema.Edit
				for range rapid.IntRange(1, 5).Draw(rt, "edits") {
					edits = append(edits, randomEdit(rt, &next))
				}
				fate := rapid.IntRange(0, 9).Draw(rt, "fate")
				switch fate {
				case 0:
					r.kernel.refuse = errRefused
				case 1:
					n := rapid.IntRange(1, 4).Draw(rt, "operation")
					r.fs.ops, r.fs.plan = 0, failOp(n, diskErrors["EIO"], rapid.Bool().Draw(rt, "part"))
				}
				before := r.Snapshot()
				_, err := r.commit(edits...)
				r.kernel.refuse, r.fs.plan = nil, nil
				var invalid *ValidationError
				switch {
				case err == nil && !next.valid():
					rt.Fatal("a reference to nothing went through")
				case err == nil:
					ref = next
				case errors.As(err, &invalid) && next.valid():
					rt.Fatalf("a valid request was refused: %v", err)
				case !errors.As(err, &invalid) && fate > 1:
					rt.Fatal(err)
				}
				if err != nil && r.Snapshot() != before {
					rt.Fatal("a failed commit was published")
				}
			},
			"restart": func(rt *rapid.T) {
				if rapid.Bool().Draw(rt, "close") {
					if err := r.Close(t.Context()); err != nil {
						rt.Fatal(err)
					}
				}
				loss := rapid.SampledFrom([]loss{loseNothing, loseAll, loseHalf, loseData}).Draw(rt, "loss")
				rev := r.Snapshot().Revision()
				r = start(t, r.fs.reboot(loss), &kernel{})
				if r.Snapshot().Revision() != rev {
					rt.Fatalf("revision %d after a restart, want %d", r.Snapshot().Revision(), rev)
				}
			},
			"rewrite": func(*rapid.T) { r.disk.rewrite = true },
		})
	})
}
