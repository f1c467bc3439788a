package operation

// Node is a node of the model.
type Node struct {
	Name     string
	Leaf     bool // or a leaf-list
	Writable bool
	Keys     []string // of a list
}
