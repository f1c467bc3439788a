package translators

import "hash/fnv"

// Routing tables that are given to VRFs without config/table-id.
const (
	TableFirst uint32 = 1_000_000
	TableCount uint32 = 1 << 30
)

// AllocateTable is the routing table of a VRF that names none: a hash of its
// name, from TableFirst on, TableCount numbers long.
//
// It depends on nothing else, so a VRF keeps its table over restarts and
// whatever comes and goes beside it, and finding it costs the same among ten
// instances and among ten thousand. The price is that two names may meet on one
// number (one chance in 10,000 among 450 instances): the second one is refused
// with a ConflictError that asks for a config/table-id.
func AllocateTable(instance string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(instance))
	sum := h.Sum32()
	// FNV's low bits change least with the last characters, which is where
	// generated names differ.
	return TableFirst + (sum^sum>>15)%TableCount
}
