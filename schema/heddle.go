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

// modelData is what the generator embeds; named by its methods, so that this
// package does not import the protocol.
type modelData interface {
	GetName() string
	GetOrganization() string
	GetVersion() string
}

// models joins the catalogues of both bindings.
func models[M modelData](catalogues ...[]M) []Model {
	seen := map[string]bool{}
	var out []Model
	for _, cat := range catalogues {
		for _, m := range cat {
			if !seen[m.GetName()] {
				seen[m.GetName()] = true
				out = append(out, Model{m.GetName(), m.GetOrganization(), m.GetVersion()})
			}
		}
	}
	slices.SortFunc(out, func(a, b Model) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
