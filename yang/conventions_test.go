package yang_test

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	goyang "github.com/openconfig/goyang/pkg/yang"
)

// model is a set of modules, read and linked.
type model struct {
	modules []*goyang.Module // by name
	entries map[string]*goyang.Entry
}

// load reads every .yang file at the top of fsys. All that goyang has to say
// against them is in errs; the model is then not to be used.
func load(fsys fs.FS) (m *model, errs []error) {
	files, err := fs.Glob(fsys, "*.yang")
	if err != nil {
		return nil, []error{err}
	}
	set := goyang.NewModules()
	for _, f := range files {
		text, err := fs.ReadFile(fsys, f)
		if err != nil {
			return nil, []error{err}
		}
		if err := set.Parse(string(text), f); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errs
	}
	if errs := set.Process(); len(errs) > 0 {
		return nil, errs
	}
	m = &model{entries: map[string]*goyang.Entry{}}
	for _, f := range files {
		name := strings.TrimSuffix(f, ".yang")
		mod := set.Modules[name]
		if mod == nil {
			errs = append(errs, fmt.Errorf("%s: holds no module %s", f, name))
			continue
		}
		e := goyang.ToEntry(mod)
		errs = append(errs, e.GetErrors()...)
		m.modules = append(m.modules, mod)
		m.entries[name] = e
	}
	return m, errs
}

// complaints says, one line each, where the model leaves its conventions.
func (m *model) complaints() []string {
	var c []string
	for _, mod := range m.modules {
		c = append(c, header(mod)...)
		c = append(c, descriptions(mod.Name, mod.Source)...)
		for _, e := range children(m.entries[mod.Name]) {
			c = append(c, m.node(e)...)
		}
	}
	return c
}

const (
	revision  = "2026-11-21"
	namespace = "urn:heddle:yang:"
)

func header(m *goyang.Module) []string {
	var c []string
	want := func(what, got, want string) {
		if got != want {
			c = append(c, fmt.Sprintf("%s: %s is %q, want %q", m.Name, what, got, want))
		}
	}
	subject, ours := strings.CutPrefix(m.Name, "heddle-")
	if !ours {
		c = append(c, m.Name+": name does not start with heddle-")
	}
	want("namespace", value(m.Namespace), namespace+subject)
	want("prefix", value(m.Prefix), m.Name)
	want("organization", value(m.Organization), "Heddle")
	latest := ""
	if len(m.Revision) > 0 {
		latest = m.Revision[0].Name
	}
	want("latest revision", latest, revision)
	for _, imp := range m.Import {
		want("prefix of import "+imp.Name, value(imp.Prefix), imp.Name)
	}
	version := ""
	for _, x := range m.Extensions {
		if x.Keyword == "heddle-extensions:openconfig-version" {
			version = x.Argument
		}
	}
	if !regexp.MustCompile(`^\d+\.\d+\.\d+$`).MatchString(version) {
		c = append(c, fmt.Sprintf("%s: openconfig-version is %q, want MAJOR.MINOR.PATCH", m.Name, version))
	}
	return c
}

func value(v *goyang.Value) string {
	if v == nil {
		return ""
	}
	return v.Name
}

// described are the statements that say what they mean.
var described = []string{"module", "revision", "extension", "typedef", "grouping", "identity",
	"enum", "augment", "container", "list", "leaf", "leaf-list"}

func descriptions(at string, s *goyang.Statement) []string {
	var c []string
	has := false
	for _, sub := range s.SubStatements() {
		if sub.Keyword == "description" && strings.TrimSpace(sub.Argument) != "" {
			has = true
		}
		c = append(c, descriptions(at+"/"+sub.Keyword+" "+sub.Argument, sub)...)
	}
	if !has && slices.Contains(described, s.Keyword) {
		c = append(c, at+": has no description")
	}
	return c
}

func children(e *goyang.Entry) []*goyang.Entry {
	var out []*goyang.Entry
	for _, name := range slices.Sorted(maps.Keys(e.Dir)) {
		out = append(out, e.Dir[name])
	}
	return out
}

// node checks a data node and what is below it.
func (m *model) node(e *goyang.Entry) []string {
	var c []string
	say := func(format string, args ...any) {
		c = append(c, e.Path()+": "+fmt.Sprintf(format, args...))
	}
	switch {
	case e.IsList():
		c = append(c, list(e)...)
	case e.IsLeaf() || e.IsLeafList():
		c = append(c, m.leaf(e)...)
	case e.Name == "config":
		c = append(c, twins(e)...)
	case e.Name == "state" && !e.ReadOnly():
		say("is not config false")
	}
	for _, child := range children(e) {
		c = append(c, m.node(child)...)
	}
	return c
}

// list checks that the container around a list holds nothing else, and that the
// keys are references to the leaves of config or state.
func list(e *goyang.Entry) []string {
	var c []string
	if e.Parent == nil || e.Parent.IsList() || len(e.Parent.Dir) != 1 {
		c = append(c, e.Path()+": a list has a container of its own around it")
	}
	if e.Key == "" {
		c = append(c, e.Path()+": has no key")
	}
	from := "config"
	if e.ReadOnly() {
		from = "state"
	}
	for _, key := range strings.Fields(e.Key) {
		leaf, want := e.Dir[key], "../"+from+"/"+key
		switch {
		case leaf == nil:
			c = append(c, fmt.Sprintf("%s: has no leaf for its key %s", e.Path(), key))
		case leaf.Type.Kind != goyang.Yleafref || leaf.Type.Path != want:
			c = append(c, fmt.Sprintf("%s: key is not a leafref to %s", leaf.Path(), want))
		}
	}
	return c
}

// leaf checks where a leaf is and that what it refers to exists.
func (m *model) leaf(e *goyang.Entry) []string {
	var c []string
	key := e.Parent.IsList() && slices.Contains(strings.Fields(e.Parent.Key), e.Name)
	switch {
	case key:
	case e.ReadOnly() && !below(e, "state"):
		c = append(c, e.Path()+": a config false leaf belongs below a state container")
	case !e.ReadOnly() && e.Parent.Name != "config":
		c = append(c, e.Path()+": a writable leaf belongs in a config container")
	}
	if e.Type.Kind == goyang.Yleafref && strings.HasPrefix(e.Type.Path, "/") {
		if err := m.reference(e.Type.Path); err != nil {
			c = append(c, e.Path()+": "+err.Error())
		}
	}
	if e.Type.Kind == goyang.Yidentityref {
		for _, d := range e.DefaultValues() {
			if !e.Type.IdentityBase.IsDefined(d) {
				c = append(c, fmt.Sprintf("%s: default %s is no %s", e.Path(), d, e.Type.IdentityBase.Name))
			}
		}
	}
	return c
}

func below(e *goyang.Entry, name string) bool {
	for p := e.Parent; p != nil; p = p.Parent {
		if p.Name == name {
			return true
		}
	}
	return false
}

// reference checks that an absolute leafref ends at the key of a list.
func (m *model) reference(path string) error {
	steps := strings.Split(strings.TrimPrefix(path, "/"), "/")
	first, _, _ := strings.Cut(steps[0], ":")
	at := m.entries[first]
	for _, step := range steps {
		mod, name, qualified := strings.Cut(step, ":")
		if at == nil || !qualified || at.Dir[name] == nil {
			return fmt.Errorf("leafref to %s: there is no %s", path, step)
		}
		at = at.Dir[name]
		if in, err := at.InstantiatingModule(); err != nil || in != mod {
			return fmt.Errorf("leafref to %s: %s is of module %s", path, name, in)
		}
	}
	if at.Parent == nil || !at.Parent.IsList() || !slices.Contains(strings.Fields(at.Parent.Key), at.Name) {
		return fmt.Errorf("leafref to %s: it is not the key of a list", path)
	}
	return nil
}

// twins checks that what can be configured can be seen: a leaf of config has a
// leaf of state beside it, of a type that holds at least the same values.
func twins(config *goyang.Entry) []string {
	state := config.Parent.Dir["state"]
	if state == nil {
		return []string{config.Path() + ": has no state beside it"}
	}
	var c []string
	for _, e := range children(config) {
		twin := state.Dir[e.Name]
		if twin == nil {
			c = append(c, e.Path()+": has no twin in state")
			continue
		}
		if why := unlike(e.Type, twin.Type); why != "" {
			c = append(c, fmt.Sprintf("%s: type differs from its twin in state: %s", e.Path(), why))
		}
		if e.IsLeafList() != twin.IsLeafList() || units(e) != units(twin) {
			c = append(c, e.Path()+": kind or units differ from its twin in state")
		}
	}
	return c
}

// units is the units statement of a leaf or leaf-list itself; goyang leaves it
// out of the entry of a leaf.
func units(e *goyang.Entry) string {
	switch n := e.Node.(type) {
	case *goyang.Leaf:
		return value(n.Units)
	case *goyang.LeafList:
		return value(n.Units)
	}
	return ""
}

// unlike says how a configured value may not fit the type of its twin. A range
// may be wider in state, which shows what the kernel has.
func unlike(config, state *goyang.YangType) string {
	switch {
	case config.Kind != state.Kind:
		return fmt.Sprintf("%s and %s", config.Kind, state.Kind)
	case config.Path != state.Path:
		return fmt.Sprintf("leafref to %s and to %s", config.Path, state.Path)
	case config.IdentityBase != state.IdentityBase:
		return "identities of different bases"
	case !slices.Equal(config.Pattern, state.Pattern):
		return "patterns"
	case !state.Range.Contains(config.Range):
		return fmt.Sprintf("range %s and %s", config.Range, state.Range)
	case !state.Length.Contains(config.Length):
		return fmt.Sprintf("length %s and %s", config.Length, state.Length)
	case config.Enum != nil && !slices.Equal(config.Enum.Names(), state.Enum.Names()):
		return "enumerations"
	case len(config.Type) != len(state.Type):
		return "unions of different size"
	}
	for i := range config.Type {
		if why := unlike(config.Type[i], state.Type[i]); why != "" {
			return why
		}
	}
	return ""
}
