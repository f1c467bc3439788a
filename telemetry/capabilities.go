package telemetry

import (
	"fmt"

	"heddle/gen/state"
)

// AddCapabilities shows what else the kernel can do.
func (t *Telemetry) AddCapabilities(all []Capability) error {
	updates, err := t.capabilities(all)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.store.apply(updates)
	return nil
}

// capabilities are the entries that say what the kernel can do. That does not change
// while it runs.
func (t *Telemetry) capabilities(all []Capability) ([]update, error) {
	var updates []update
	for _, c := range all {
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
