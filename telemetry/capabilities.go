package telemetry

import (
	"fmt"

	"heddle/gen/state"
)

// capabilities are the entries that say what the kernel can do. That does not change
// while it runs.
func (t *Telemetry) capabilities() ([]update, error) {
	var updates []update
	for _, c := range t.system.Capabilities {
		k, err := t.schema.Key("", t.nodes.capabilities, c.Name)
		if err != nil {
			return nil, fmt.Errorf("show kernel capability %q: %w", c.Name, err)
		}
		e := &state.System_Capability{Name: &c.Name, Supported: &c.Supported}
		if !c.Supported {
			e.Answer, e.Remedy = &c.Answer, &c.Remedy
		}
		updates = append(updates, update{key: k, entry: e})
	}
	return updates, nil
}
