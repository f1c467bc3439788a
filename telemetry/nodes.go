package telemetry

import (
	"fmt"

	"heddle/schema"
)

// nodes are the places of the model that telemetry fills or looks for.
type nodes struct {
	interfaces, subinterfaces, ipv4Addresses, ipv6Addresses *schema.Node
	ipv4Neighbours, ipv6Neighbours                          *schema.Node
	members, nextHops, sids, sidCounters, capabilities      *schema.Node
	proxies                                                 *schema.Node
	segmentLists, policies, candidatePaths, pathLists       *schema.Node
	dynamicSIDs                                             *schema.Node

	defaultInstance schema.EntryKey
}

func findNodes(s *schema.Schema) (nodes, error) {
	var n nodes
	for path, node := range map[string]**schema.Node{
		"/interfaces/interface":                                                                                                              &n.interfaces,
		"/interfaces/interface/subinterfaces/subinterface":                                                                                   &n.subinterfaces,
		"/interfaces/interface/subinterfaces/subinterface/ipv4/addresses/address":                                                            &n.ipv4Addresses,
		"/interfaces/interface/subinterfaces/subinterface/ipv6/addresses/address":                                                            &n.ipv6Addresses,
		"/interfaces/interface/subinterfaces/subinterface/ipv4/neighbors/neighbor":                                                           &n.ipv4Neighbours,
		"/interfaces/interface/subinterfaces/subinterface/ipv6/neighbors/neighbor":                                                           &n.ipv6Neighbours,
		"/network-instances/network-instance/interfaces/interface":                                                                           &n.members,
		"/network-instances/network-instance/protocols/protocol/static-routes/static/next-hops/next-hop":                                     &n.nextHops,
		"/network-instances/network-instance/segment-routing/srv6/sids/sid":                                                                  &n.sids,
		"/network-instances/network-instance/segment-routing/srv6/sids/sid/state/counters":                                                   &n.sidCounters,
		"/network-instances/network-instance/segment-routing/srv6/sids/sid/proxy/state":                                                      &n.proxies,
		"/system/kernel-capabilities/capability":                                                                                             &n.capabilities,
		"/network-instances/network-instance[name=" + defaultInstance + "]":                                                                  nil,
		"/network-instances/network-instance/segment-routing/srv6/segment-lists/segment-list":                                                &n.segmentLists,
		"/network-instances/network-instance/segment-routing/srv6/policies/policy":                                                           &n.policies,
		"/network-instances/network-instance/segment-routing/srv6/policies/policy/candidate-paths/candidate-path":                            &n.candidatePaths,
		"/network-instances/network-instance/segment-routing/srv6/policies/policy/candidate-paths/candidate-path/segment-lists/segment-list": &n.pathLists,
		"/network-instances/network-instance/segment-routing/srv6/dynamic-sids/dynamic-sid":                                                  &n.dynamicSIDs,
	} {
		p, err := s.ParsePath(path)
		if err != nil {
			return n, fmt.Errorf("%s: %w", path, err)
		}
		if node == nil {
			n.defaultInstance = p.Entry()
			continue
		}
		*node = p.Last()
	}
	return n, nil
}

// overlaps reports whether a path can hold n or lies inside it.
func overlaps(p schema.Path, n *schema.Node) bool {
	last := p.Last()
	return last == nil || within(n, last) || within(last, n)
}

// within reports whether n is ancestor or lies below it.
func within(n, ancestor *schema.Node) bool {
	for ; n != nil; n = n.Parent {
		if n == ancestor {
			return true
		}
	}
	return false
}
