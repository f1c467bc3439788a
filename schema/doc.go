// Package schema compiles the YANG model once into plans over the generated
// structs, and does with those plans everything that has to happen to
// configuration and state as typed trees: resolve paths, decode and encode
// JSON and JSON_IETF, apply edits, validate, compare, enumerate leaves and
// references.
//
// It serves agent/datastore (Apply, Validate, Refs, EncodeEntry), agent/gnmi
// and agent/netconf (Resolve, Edits, EncodeJSON, Expand), telemetry (Leaves, Diff,
// Path.Matches) and the translators (Path of an entry). It must not know gRPC,
// the kernel, storage, locks or subscriptions.
//
// # The unit is the list entry
//
// A tree is a flat, ordered set of entries: one per YANG list entry, plus the
// root entry (key ""). An entry is a pointer to the generated struct of that
// list, with its child lists left nil; containers inside it are sub-structs.
// Entries that have been handed to a Tree are immutable, all the way down to
// the scalars they point to: scalars and leaf-lists with equal values may be
// shared among entries. To change one, call Apply.
//
// # Schema order
//
// Within an entry: the list's keys, then the other children by name, a "config"
// container before a "state" container. EntryKeys sort in the same order, so
// one ordered scan of a Tree is enough to print a document.
//
// # Defaults
//
// A configuration leaf that is set to its default is the same as one that is
// not set: Apply and DecodeEntry leave it unset, and a container that holds
// nothing else is absent, unless it is a presence container. On request defaults
// are shown and count in differences where they are in use: in an entry, and
// in those of its containers that hold something in that entry (its child lists
// do not count). So a document written with Defaults reads back as no change.
// In cases of a choice, where to be set is to be chosen, defaults are stored
// when given and not shown when not. A leaf-list that is set to its default is
// unset, too: a later update gives it the values of that update alone.
//
// # Errors
//
// A *PathError is about the path of a request, a *ValueError about its
// payload. Both name the full path, what is wrong and what would be right.
// Several are joined with errors.Join or, beyond MaxErrors, are an *Errors.
package schema

// MaxErrors bounds how many faults one call reports; further ones are counted.
const MaxErrors = 20

// MaxCounted bounds how many are counted: who sends a request of hundreds of megabytes
// in which everything is wrong does not keep others waiting for it.
const MaxCounted = 10_000
