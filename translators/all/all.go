// Package all puts the translators of every subtree together. It is the one
// package that knows them all; the agent builds its engine here.
package all

import (
	"slices"

	"heddle/translators"
	"heddle/translators/interfaces"
	"heddle/translators/networkinstance"
	"heddle/translators/routing"
	"heddle/translators/srv6"
)

// An Option tells the translators what the kernel lacks.
type Option func(*routing.Options)

// OwnEncap has the routes of a family carry their encapsulation themselves: the
// kernel cannot have them share it.
func OwnEncap(ipv4, ipv6 bool) Option {
	return func(o *routing.Options) { o.OwnEncap4, o.OwnEncap6 = ipv4, ipv6 }
}

// Engine makes the engine with every translator.
func Engine(m *translators.Model, options ...Option) *translators.Engine {
	var routes routing.Options
	for _, o := range options {
		o(&routes)
	}
	units := slices.Concat(interfaces.Units(m), networkinstance.Units(m), routing.Units(m, routes), srv6.Units(m))
	ripples := slices.Concat(networkinstance.Ripples(m), routing.Ripples(m), srv6.Ripples(m))
	return translators.NewEngine(m, units, ripples)
}
