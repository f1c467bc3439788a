package gnmi

import (
	"fmt"
	"math"
	"sync"

	"github.com/openconfig/gnmi/proto/gnmi_ext"
)

// extKind is one of the extensions of gNMI, or a set of them.
type extKind uint8

const (
	extDepth extKind = 1 << iota
	extArbitration
	extHistory
	extCommit
	extConfigSubscription

	extNone extKind = 0
)

// extensions are those of a request.
type extensions struct {
	has         extKind
	depth       int // 0: no limit
	arbitration *gnmi_ext.MasterArbitration
	history     *gnmi_ext.History
	commit      *gnmi_ext.Commit
}

// readExtensions reads those of a request; taken are the ones that have a meaning
// there. No extension is ever ignored.
func readExtensions(rpc string, exts []*gnmi_ext.Extension, taken extKind) (extensions, error) {
	var e extensions
	for _, x := range exts {
		kind, name := e.read(x)
		switch {
		case kind == extNone:
			return e, notOffered("%s is not offered: leave it out", name)
		case kind&taken == 0:
			return e, invalid("extension %s has no meaning in %s: leave it out", name, rpc)
		case kind&e.has != 0:
			return e, invalid("extension %s is there twice: leave one out", name)
		}
		e.has |= kind
	}
	return e, nil
}

// read takes in one extension and says what it is.
func (e *extensions) read(x *gnmi_ext.Extension) (extKind, string) {
	switch x := x.GetExt().(type) {
	case *gnmi_ext.Extension_Depth:
		e.depth = int(min(x.Depth.GetLevel(), math.MaxInt32))
		return extDepth, "depth"
	case *gnmi_ext.Extension_MasterArbitration:
		e.arbitration = x.MasterArbitration
		return extArbitration, "master_arbitration"
	case *gnmi_ext.Extension_History:
		e.history = x.History
		return extHistory, "history"
	case *gnmi_ext.Extension_Commit:
		e.commit = x.Commit
		return extCommit, "commit"
	case *gnmi_ext.Extension_ConfigSubscription:
		if x.ConfigSubscription.GetStart() == nil {
			return extNone, "extension config_subscription without the action start"
		}
		return extConfigSubscription, "config_subscription"
	case *gnmi_ext.Extension_RegisteredExt:
		return extNone, fmt.Sprintf("registered extension %v", x.RegisteredExt.GetId())
	}
	return extNone, "an extension that this server does not know"
}

// Bounds of what a client can make a server remember.
const (
	maxRole  = 256 // octets of the name of a role
	maxRoles = 1024
)

// electionID is a number of 128 bits.
type electionID struct{ high, low uint64 }

func (a electionID) less(b electionID) bool {
	return a.high < b.high || a.high == b.high && a.low < b.low
}

// masters are the highest election ids that Sets came with, by role. They are
// forgotten when the agent ends: the next Set elects anew, as after the first one.
type masters struct {
	mu  sync.Mutex // guards ids
	ids map[string]electionID
}

// admit lets a Set pass if nobody with a higher id has come before it in its role.
func (m *masters) admit(x *gnmi_ext.MasterArbitration) error {
	if x == nil {
		return nil
	}
	if x.GetElectionId() == nil {
		return invalid("extension master_arbitration has no election_id: put one in, or leave the extension out")
	}
	role := x.GetRole().GetId()
	if len(role) > maxRole {
		return invalid("extension master_arbitration: the id of the role has %d octets: use %d at most", len(role), maxRole)
	}
	id := electionID{x.GetElectionId().GetHigh(), x.GetElectionId().GetLow()}
	m.mu.Lock()
	defer m.mu.Unlock()
	master, known := m.ids[role]
	if known && id.less(master) {
		return denied("election id high:%d low:%d of role %q is not that of its master: the current one is high:%d low:%d", id.high, id.low, role, master.high, master.low)
	}
	if !known && len(m.ids) >= maxRoles {
		return exhausted("extension master_arbitration: there are %d roles already: use one of them", maxRoles)
	}
	if m.ids == nil {
		m.ids = map[string]electionID{}
	}
	m.ids[role] = id
	return nil
}
