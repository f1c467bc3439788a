package schema

import (
	"cmp"
	"slices"
	"sync"

	"heddle/gen/config"
	"heddle/gen/state"
	"heddle/yang"
)

// heddle is compiled on first use and never changes after that.
var heddle = sync.OnceValues(func() (*Schema, error) {
	return Compile(Input{
		Config:  Binding{Root: &config.Device{}, Schema: config.SchemaTree},
		State:   Binding{Root: &state.Device{}, Schema: state.SchemaTree},
		Aliases: yang.Compatible(),
		Models:  models(),
	})
})

// Heddle compiles our own model, once; every call returns the same Schema. A
// data node may be addressed by the public module it is compatible with (see
// yang.Compatible).
func Heddle() (*Schema, error) { return heddle() }

// models joins the catalogues that the generator embeds in both packages.
func models() []Model {
	seen := map[string]bool{}
	var out []Model
	for _, m := range slices.Concat(config.ΓModelData, state.ΓModelData) {
		if !seen[m.GetName()] {
			seen[m.GetName()] = true
			out = append(out, Model{m.GetName(), m.GetOrganization(), m.GetVersion()})
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
