package schema

// NodeKind is the kind of a data node.
type NodeKind uint8

const (
	Container NodeKind = iota + 1
	List
	Leaf
	LeafList
)

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
	Keys      []*Node // of a list: its key leaves, direct children of it; nil for a keyless list
	Type      *Type   // of a leaf or leaf-list
	Default   []Value // of a leaf (one) or leaf-list; nil without default
	ListID    ListID  // of a list; 0 for every other node

	plan nodePlan
}

// Child returns the child of that name, nil if there is none. The name carries
// no module prefix.
func (n *Node) Child(name string) *Node { panic("schema: under construction") }

// Entry returns the node whose entries hold n: n itself if it is a list, else
// the nearest enclosing list, or the root.
func (n *Node) Entry() *Node { panic("schema: under construction") }

// Path returns the schema path of n without keys, e.g. "/interfaces/interface/config".
func (n *Node) Path() string { panic("schema: under construction") }

// IsLeaf reports whether n is a leaf or a leaf-list.
func (n *Node) IsLeaf() bool { return n.Kind == Leaf || n.Kind == LeafList }

type nodePlan struct{}
