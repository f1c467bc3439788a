// Package gnmi is the gNMI server: Capabilities, Get, Set and Subscribe over
// TLS or a unix socket, with reflection and health.
//
// It turns messages into edits and queries, and what comes back into messages
// and status codes (errors.go, the one place for that). It serves controllers
// and the heddle command. It must not know translators, reconcile or the kernel:
// configuration goes through a Committer, state is a subscribe.Dataset, and the
// agent's wiring tells it by Config.Classify what an error from below means.
//
// # What is offered
//
// docs/gnmi.md says it line by line. gNMI 0.10.0. Encodings JSON, JSON_IETF and
// PROTO; a Set takes JSON, JSON_IETF and every scalar. No origin and origin
// "openconfig" are the same tree, other origins are refused. What is not offered is
// refused by name, not ignored.
//
// POLL sends the data and a sync_response before the first Poll message too.
//
// Deviations and limits: Set messages up to Config.MaxMessage (256 MiB unless
// set; a Set of 100,000 SIDs is 24 MiB as one JSON_IETF value and about 140 MiB
// leaf by leaf, which takes hardly longer). SAMPLE and heartbeat intervals from
// Config.MinSample (1 s unless set) up. use_models is honoured when it names all
// modules below the paths, and refused otherwise. allow_aggregation changes
// nothing: an update is one leaf. No list of the model is telemetry-atomic.
package gnmi
