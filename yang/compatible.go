package yang

// Compatible tells which public modules a client may name where we have one of
// ours: module of ours -> public modules, the one to answer with first. A data
// node below a listed module has the path, keys and type of the public one; the
// exceptions are in docs/model.md. Identities live in modules of their own, so
// that the answer does not depend on the identity.
//
// The caller owns the map.
func Compatible() map[string][]string {
	return map[string][]string{
		"heddle-if-ip":                  {"openconfig-if-ip"},
		"heddle-if-tunnel":              {"openconfig-if-tunnel"},
		"heddle-interface-types":        {"iana-if-type"},
		"heddle-interfaces":             {"openconfig-interfaces"},
		"heddle-local-routing-types":    {"openconfig-local-routing"},
		"heddle-network-instance":       {"openconfig-network-instance"},
		"heddle-network-instance-types": {"openconfig-network-instance-types"},
		"heddle-policy-types":           {"openconfig-policy-types"},
		"heddle-static-routes":          {"openconfig-network-instance"},
		"heddle-system":                 {"openconfig-system"},
		"heddle-vlan-types":             {"openconfig-vlan-types"},
	}
}
