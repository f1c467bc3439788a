package agent

import (
	"runtime/debug"
	"testing"

	"heddle/schema"
)

// TestBoundGarbage looks at the limit during a large Set, a small one, and after
// several that overlap.
func TestBoundGarbage(t *testing.T) {
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	before := limit()
	large := []schema.Edit{{JSON: make([]byte, largePayload/2)}, {}, {JSON: make([]byte, largePayload/2)}}

	boundGarbage(large[:2])()
	if limit() != before {
		t.Error("a small Set is bounded")
	}
	first := boundGarbage(large)
	if got, most := limit(), int64(inUse())+(garbageTimes+1)*largePayload; got >= before || got > most {
		t.Errorf("the limit of a large Set is %d, want %d at most", got, most)
	}
	second := boundGarbage(large)
	first()
	second()
	if limit() != before {
		t.Errorf("afterwards the limit is %d, want %d", limit(), before)
	}
}
