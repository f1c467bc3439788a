package schema

import (
	"bytes"
	"slices"
	"strings"
)

// NodeKind is the kind of a data node.
type NodeKind uint8

const (
	Container NodeKind = iota + 1
	List
	Leaf
	LeafList
)

// String is the YANG keyword.
func (k NodeKind) String() string {
	return [...]string{"node", "container", "list", "leaf", "leaf-list"}[k]
}

// ListID identifies a list of the schema. It is stable for one compiled
// schema, not across versions of the model: do not persist it.
type ListID uint16

// Node is a data node of the schema, shared by the configuration and the state
// binding. Nodes are immutable and unique: compare them by pointer.
type Node struct {
	Name      string
	Module    string // defining module, e.g. "heddle-interfaces"
	Kind      NodeKind
	Config    bool // config true: writable
	Presence  bool // a container whose existence is itself data
	Mandatory bool
	Parent    *Node   // nil for the root
	Children  []*Node // in schema order
	Keys      []*Node // of a list: its key leaves, direct children of it
	Type      *Type   // of a leaf or leaf-list
	Default   []Value // of a leaf (one) or leaf-list; nil without default
	ListID    ListID  // of a list; 0 for every other node

	plan nodePlan
}

// The two bindings of a node.
const (
	inConfig = iota
	inState
	bindings
)

// nodePlan is what the package precomputes for a node.
type nodePlan struct {
	schema    *Schema
	id        int              // unique in the schema, from 0
	entry     *Node            // see Node.Entry
	below     string           // of a list: its path from the list that it is in, or the root
	byName    map[string]*Node // children by bare name
	accepted  map[string]*Node // children by every accepted name: bare, qualified, alias-qualified
	order     int              // position among the parent's children
	cont      [bindings]*contPlan
	slot      [bindings]*slot
	entryPlan [bindings]*entryPlan
	cases     []caseOf // the choices the node is in
	isKey     bool     // a list key, as a direct child of the list
	keyOf     *Node    // config/name or state/name: the key leaf it stands for
	minElems  uint64
	maxElems  uint64 // 0: unbounded
	orderUser bool
	lists     []*Node // lists at or under the node in the same entry, in order
	mirrored  bool    // state/x with a config/x beside it
	inCase    bool    // the node or one above it in the entry is in a case of a choice
}

// Child returns the child of that name, nil if there is none. The name carries
// no module prefix.
func (n *Node) Child(name string) *Node { return n.plan.byName[name] }

// Entry returns the node whose entries hold n: n itself if it is a list, else
// the nearest enclosing list, or the root.
func (n *Node) Entry() *Node { return n.plan.entry }

// Level is how many nodes are above n; 0 for the root.
func (n *Node) Level() int {
	level := 0
	for m := n.Parent; m != nil; m = m.Parent {
		level++
	}
	return level
}

// IsLeaf reports whether n is a leaf or a leaf-list.
func (n *Node) IsLeaf() bool { return n.Kind == Leaf || n.Kind == LeafList }

// Secret reports whether the value of a leaf is for nobody to see but who reads the
// configuration itself: by its name, which is OpenConfig's.
func (n *Node) Secret() bool { return n.Name == secretName }

// holdsSecret reports whether a value of n could have one in it.
func (n *Node) holdsSecret() bool {
	return n.Secret() || slices.ContainsFunc(n.Children, (*Node).holdsSecret)
}

// show is what errors show of a value of n, as text: nothing of one that could have a
// secret in it.
func (n *Node) show(value string) string {
	if n.holdsSecret() {
		return ""
	}
	return value
}

const secretName = "secret-key"

// MayHaveSecret reports whether a SetRequest or JSON, as octets, could have the value of
// a secret in it: it has the name, or an escape in JSON that could stand for it.
func MayHaveSecret(octets []byte) bool {
	return bytes.Contains(octets, []byte(secretName)) || bytes.Contains(octets, []byte(`\u`))
}

// IsKey reports whether n is a key leaf of its list: the direct child of the
// list, or the config or state leaf it refers to.
func (n *Node) IsKey() bool { return n.plan.isKey || n.plan.keyOf != nil }

// Path returns the schema path of n without keys, e.g. "/interfaces/interface/config".
func (n *Node) Path() string {
	if n.Parent == nil {
		return "/"
	}
	return n.relative(nil)
}

// relative is the path of n below ancestor (nil: the root), with a slash
// before each name.
func (n *Node) relative(ancestor *Node) string {
	var names []string
	for m := n; m != nil && m != ancestor && m.Parent != nil; m = m.Parent {
		names = append(names, m.Name)
	}
	var b strings.Builder
	for i := len(names) - 1; i >= 0; i-- {
		b.WriteByte('/')
		b.WriteString(names[i])
	}
	return b.String()
}

// under reports whether n is ancestor or below it.
func (n *Node) under(ancestor *Node) bool {
	for m := n; m != nil; m = m.Parent {
		if m == ancestor {
			return true
		}
	}
	return false
}

// caseOf places a node in one case of a choice.
type caseOf struct {
	choice *choice
	branch string
}

// choice is a YANG choice; compared by pointer.
type choice struct {
	name      string
	mandatory bool
	within    *Node // the data node that contains the choice
}
