package gnmi

import (
	"maps"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// modules knows our modules by name, for use_models.
type modules struct {
	models  map[string]schema.Model
	aliases map[string][]string
	below   map[*schema.Node]map[string]bool // modules of the nodes at or under each node
}

func findModules(s *schema.Schema, aliases map[string][]string) modules {
	m := modules{
		models:  map[string]schema.Model{},
		aliases: aliases,
		below:   map[*schema.Node]map[string]bool{},
	}
	for _, model := range s.Models() {
		m.models[model.Name] = model
	}
	m.walk(s.Root())
	return m
}

func (m *modules) walk(n *schema.Node) map[string]bool {
	all := map[string]bool{}
	if n.Parent != nil {
		all[n.Module] = true
	}
	for _, c := range n.Children {
		maps.Copy(all, m.walk(c))
	}
	m.below[n] = all
	return all
}

// use checks that use_models names every module below the paths, so that
// restricting the answer to them changes nothing, and returns how to rename
// modules on output: a client that names a public module gets its names.
func (m *modules) use(root *schema.Node, want []*gpb.ModelData, paths []schema.Path) (rename map[string]string, err error) {
	if len(want) == 0 {
		return nil, nil
	}
	rename = map[string]string{}
	named := map[string]bool{}
	public := false
	for _, w := range want {
		if model, ok := m.models[w.GetName()]; ok {
			if w.GetVersion() != "" && w.GetVersion() != model.Version {
				return nil, notOffered("use_models: version %s of %s is not offered: it is %s", w.GetVersion(), model.Name, model.Version)
			}
			named[model.Name] = true
			continue
		}
		found := false
		for ours, names := range m.aliases {
			if slices.Contains(names, w.GetName()) {
				named[ours], rename[ours], found = true, w.GetName(), true
			}
		}
		if !found {
			return nil, notOffered("use_models: module %q is not offered: see Capabilities", w.GetName())
		}
		public = true
	}
	missing := map[string]bool{}
	data := map[string]bool{}
	for _, p := range paths {
		n := p.Last()
		if n == nil {
			n = root
		}
		for module := range m.below[n] {
			data[module] = true
			if !named[module] {
				missing[module] = true
			}
		}
	}
	if len(missing) > 0 {
		return nil, notOffered("use_models: restricting an answer to some of the modules below its path is not offered: name %s too", strings.Join(slices.Sorted(maps.Keys(missing)), ", "))
	}
	if public {
		// Identities live in modules of their own, which nobody names.
		for ours, names := range m.aliases {
			if _, done := rename[ours]; !done && !m.below[root][ours] {
				rename[ours] = names[0]
			}
		}
	}
	return rename, nil
}
