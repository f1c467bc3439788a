// Package all puts the translators of every subtree together. It is the one
// package that knows them all; the agent builds its engine here.
package all

import (
	"slices"

	"heddle/translators"
	"heddle/translators/interfaces"
	"heddle/translators/networkinstance"
	"heddle/translators/policy"
	"heddle/translators/routing"
	"heddle/translators/srv6"
)

// Engine makes the engine with every translator. What the kernel lacks is in the
// model (translators.Model.For).
func Engine(m *translators.Model) *translators.Engine {
	units := slices.Concat(interfaces.Units(m), networkinstance.Units(m), routing.Units(m), srv6.Units(m), policy.Units(m))
	ripples := slices.Concat(interfaces.Ripples(m), networkinstance.Ripples(m), routing.Ripples(m), srv6.Ripples(m), policy.Ripples(m))
	return translators.NewEngine(m, units, ripples)
}
