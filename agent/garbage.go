package agent

import (
	"runtime/debug"
	"runtime/metrics"

	"heddle/schema"
)

const (
	// largePayload is the size of a document, in octets, from which what a Set of it
	// needs besides is bounded.
	largePayload = 4 << 20

	// garbageTimes is how many times its size the process may grow by before garbage
	// is collected more often.
	garbageTimes = 6
)

// boundGarbage has garbage of a large Set collected before the process has grown by
// some times the size of its documents. It is a wish, not a limit: what is in use may
// be more. The function it returns ends that.
func boundGarbage(edits []schema.Edit) (unbound func()) {
	size := 0
	for i := range edits {
		size += len(edits[i].JSON)
	}
	if size < largePayload {
		return func() {}
	}
	debug.SetMemoryLimit(min(memoryLimit, int64(inUse())+int64(garbageTimes*size)))
	return func() { debug.SetMemoryLimit(memoryLimit) }
}

// memoryLimit is what the environment asks for (GOMEMLIMIT).
var memoryLimit = debug.SetMemoryLimit(-1)

// inUse is the memory of the Go runtime that it has not given back, in octets: what
// its limit is about.
func inUse() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}
