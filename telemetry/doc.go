// Package telemetry keeps the state tree: what the kernel holds of the
// configuration and what else there is in the network namespace, as entries of
// the generated state structs.
//
// It serves subscriptions and Get through a snapshot and a feed of changes. Its
// sources are what reconcile read back from the kernel (Configured), the
// kernel's own events about links and addresses, and counters that are read when
// somebody asks for them (Refresh). It must not know who configures, nor talk to
// the kernel itself: the sources come in as small interfaces over kernel/object.
package telemetry
