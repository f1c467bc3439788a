// Package datastore holds the running configuration: it takes edits, checks
// what they touch, has the kernel follow, makes the result durable, and shows
// it to readers, in that order and all or nothing.
//
// It serves the protocol servers, which turn messages into schema.Edits and its
// typed errors into their status codes, and the telemetry, which follows the
// feed of commits. It knows no protocol, no kernel and no particular YANG
// module: the model is behind schema.Schema, the kernel behind Applier, the
// semantic rules behind Rules.
//
// # Cost
//
// The unit of storage is the YANG list entry. Entries are immutable, and live
// in an ordered map whose copies share structure, so that a Snapshot is free to
// take and to keep, and a commit costs what it touches. References from entry to
// entry (leafrefs) are a second such map, from target to referrer, and what the
// model's user says that entries are found by (Config.Terms) is a third.
//
// # What is on disk
//
// Two files in the state directory: startup.json, the whole configuration as
// JSON_IETF that people can read, and startup.log, the commits since. A small
// commit appends its changed entries to the log; a large one, or one that finds
// the log long, writes a new startup.json beside the old one while the kernel
// works and renames it afterwards, keeping the old pair as startup.json.prev and
// startup.log.prev. Either way the commit is durable before it is published.
// Both files carry a generation number, and a log whose number differs from that
// of startup.json is no part of the configuration.
//
// Beside them are history.log, with what commits have changed, for looking back and
// going back, confirm.json while a commit waits to be confirmed, and locked.json while a
// user has locked the configuration. None is needed to start.
//
// # What a crash leaves
//
// A killed process, a kernel panic or a power failure leaves the files at the
// state before a commit or after it, never between: a commit counts once the
// last line of its group is in the log, or the new file has its name. The log
// has the beginning of the commit before the kernel is touched, so that the next
// start can say which commit was not finished.
//
// The kernel is changed before the files are. A process killed in between leaves
// the kernel ahead of the files; Start hands the configuration of the files to
// the Applier, which compares it with what the kernel holds and puts the kernel
// back. Start therefore always calls the Applier, even for an empty
// configuration.
package datastore
