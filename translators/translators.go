// Package translators turns configuration into the kernel objects that it asks
// for.
//
// A unit is the list entry whose translation makes objects: an interface, an
// address, a network instance, a static route with its next hops, a SID. Each
// folder below this one holds the translators of one subtree of the model, as
// pure functions: entries in, objects out, with no I/O, no clock and no log.
// They do not know each other; the package all puts them together.
//
// Engine is what the agent calls: for the entries that one commit changed it
// finds the units to translate again, translates them under the snapshot before
// and the one after, and returns the wanted objects that came, changed or went.
// What it costs depends on the entries touched and on those that are affected
// by them, never on the size of the configuration.
//
// The package knows no kernel, no protocol and no datastore: it reads snapshots
// through Reader.
package translators

import (
	"heddle/kernel/object"
	"heddle/schema"
)

// Reader is one snapshot of the configuration. Entries are immutable.
type Reader interface {
	schema.Tree

	// Referrers calls fn for every entry with a leafref to target, until fn
	// returns false.
	Referrers(target schema.EntryKey, fn func(referrer schema.EntryKey) bool)

	// Terms calls fn for every entry with a term (function Terms) from one up to, and
	// without, another one, by term and then by key, until fn returns false.
	Terms(from, to string, fn func(k schema.EntryKey) bool)
}

// Result is what one unit asks of the kernel.
type Result struct {
	// Objects belong to the unit alone: two units that want one key are a
	// ConflictError.
	Objects []object.Object

	// Shared objects may be wanted by any number of units, which then must agree
	// about them; they go when the last one stops wanting them.
	Shared []object.Object

	// Withheld lists what the configuration holds and the kernel is not given.
	Withheld []Withheld

	// Refused lists what a Set must not bring about.
	Refused []Refusal
}

// Refusal is configuration that only a start goes on with, without what is withheld for
// it: no commit may lead to it.
type Refusal struct {
	Entry          schema.EntryKey
	Below          string // the node below the entry
	Reason, Remedy string
}

// Withheld says why an entry has no object: something above it is disabled.
// State shows it as programmed=false with this reason.
type Withheld struct {
	Entry  schema.EntryKey
	Reason string
}

// Own adds objects of the unit alone.
func (r *Result) Own(objects ...object.Object) { r.Objects = append(r.Objects, objects...) }

// Share adds objects that others may want as well.
func (r *Result) Share(objects ...object.Object) { r.Shared = append(r.Shared, objects...) }

// Withhold records why entry has no object.
func (r *Result) Withhold(entry schema.EntryKey, reason string) {
	r.Withheld = append(r.Withheld, Withheld{entry, reason})
}

// Refuse has a commit refused that leads to this; the reason is to be withheld, too.
func (r *Result) Refuse(refusal Refusal) { r.Refused = append(r.Refused, refusal) }

// Unit translates the entries of one list.
type Unit struct {
	// List is the list whose entries are units, Parts are lists below it whose
	// entries are translated together with the unit they are in.
	List  *schema.Node
	Parts []*schema.Node

	// Translate is a pure function of the snapshot: the same entries give the
	// same result. It is called only for an entry that is there. An error is for
	// configuration that no rule should have let through.
	Translate func(v View, key schema.EntryKey, entry schema.GoStruct, out *Result) error
}

// Ripple says which other units depend on an entry of List. Affected is called
// for every changed entry, once with the snapshot before and once with the one
// after, and reports the units to translate again; keys of entries that are not
// units stand for the unit they are in. It must cost no more than what it
// reports, and report nothing when the change cannot matter to others.
type Ripple struct {
	List     *schema.Node
	Affected func(v View, c schema.Change, redo func(schema.EntryKey))
}
