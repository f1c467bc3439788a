package kerneltest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"heddle/kernel/object"
)

// Snapshot is all that the kernel holds and all records of ours, as sorted lines
// in the words of iproute2. Two kernels with the same text behave the same.
func (f *Fake) Snapshot() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lines []string
	for _, kind := range []object.Kind{object.KindLink, object.KindAddress, object.KindNeighbour, object.KindHMACKey, object.KindNextHop, object.KindRoute,
		object.KindLocalSID, object.KindProxyPort, object.KindProxy} {
		for _, h := range f.all(kind) {
			line := fmt.Sprint(sortedHops(h.object)) + h.note
			if h.ours {
				line += " ours"
			}
			lines = append(lines, line)
		}
	}
	for name, value := range f.sysctls {
		lines = append(lines, object.Sysctl{Name: name, Value: value}.String())
	}
	if f.tunsrc.IsValid() {
		lines = append(lines, object.TunnelSource{Source: f.tunsrc}.String())
	}
	for k, r := range f.records {
		if !f.live(k) {
			continue
		}
		for _, p := range slices.Sorted(maps.Keys(r.before)) {
			lines = append(lines, fmt.Sprintf("record %s: %s was %q", k, p, r.before[p]))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n"
}
