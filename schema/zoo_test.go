package schema

import (
	"testing"

	"heddle/schema/internal/zoo/config"
	"heddle/schema/internal/zoo/state"
)

// zoo compiles the test model.
func zoo(t testing.TB) *Schema {
	t.Helper()
	s, err := Compile(Input{
		Config:  Binding{Root: &config.Device{}, Schema: config.SchemaTree},
		State:   Binding{Root: &state.Device{}, Schema: state.SchemaTree},
		Aliases: map[string][]string{"zoo": {"public-zoo"}, "zoo-types": {"public-zoo-types"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
