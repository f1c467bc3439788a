package agent

import (
	"heddle/agent/operation"
	"heddle/schema"
)

// Children are the nodes of the model below a path, whose keys do not matter.
func (a *Agent) Children(path string) ([]operation.Node, error) {
	elems, err := schema.ParseElems(path)
	if err != nil {
		return nil, &operation.InvalidError{What: err.Error()}
	}
	for i := range elems {
		elems[i].Keys = nil
	}
	at, err := a.schema.Resolve(elems)
	if err != nil {
		return nil, &operation.NotFoundError{What: err.Error()}
	}
	n := at.Last()
	if n == nil {
		n = a.schema.Root()
	}
	var nodes []operation.Node
	for _, c := range n.Children {
		node := operation.Node{Name: c.Name, Leaf: c.IsLeaf(), Writable: c.Config}
		for _, k := range c.Keys {
			node.Keys = append(node.Keys, k.Name)
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}
