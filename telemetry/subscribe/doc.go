// Package subscribe is the subscription engine: it joins a snapshot of the
// configuration and the state with the feed of their changes, and gives every
// subscriber what its paths and modes ask for, as gNMI notifications.
//
// It serves agent/gnmi, which speaks the protocol around it, and the exporters.
// It must not know gRPC, how a change came about, or where state comes from: it
// reads two Datasets and asks a Refresher for fresh counters.
//
// # Cost
//
// A change costs what the subscriptions that match it cost: patterns are found
// through an index by list entry and schema node, never by trying all of them,
// and the tree is walked only for an initial set of values, a sample or a
// heartbeat, and then only below the paths subscribed to.
//
// # A slow subscriber
//
// What waits for a subscriber is one item for each list entry, with the value
// the subscriber knows and the value that is. Later changes of the entry fall
// together with the waiting one: memory is bounded by the number of entries
// that the paths match, whatever the rate of changes, and how many values of a
// leaf fell together is its "duplicates". Nobody else waits.
//
// # Notifications
//
// One for each list entry and moment: the prefix is the path of the entry, the
// updates are its leaves, one each. A leaf that went is one delete; where a
// whole entry goes, leaves that go together are one delete of the container
// that held them.
package subscribe
