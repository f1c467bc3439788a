package gnmi

import (
	"runtime"
	"sync/atomic"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// While the kernel says what has counted, which takes as long as writing a large
// answer does, another processor writes the answer as it was before. On a router
// without much traffic that is most of the answer to come. Where it is not, it
// would be in vain each time.
type drafts struct {
	vain      atomic.Int32 // how many in a row of which less than half was of use
	notBefore atomic.Int64 // in seconds since 1970
}

// After mostVain drafts in vain it is not tried again for a while.
const (
	mostVain = 3
	pause    = time.Minute
)

// begin begins a draft of the answer to a Get of one path, nil if there is to be
// none.
func (d *drafts) begin(r *reading, queries [][]schema.Path) *schema.Draft {
	if r.filter == schema.Config || r.enc.Encoding == gpb.Encoding_PROTO || len(queries) != 1 || len(queries[0]) != 1 {
		return nil
	}
	at := queries[0][0]
	if at.HasWildcard() || runtime.GOMAXPROCS(0) < 2 || time.Now().Unix() < d.notBefore.Load() {
		return nil
	}
	o, _ := r.options()
	return r.server.schema.Draft(r.filtered(), at, o, buffers{})
}

// learn takes note of what a draft was good for.
func (d *drafts) learn(draft *schema.Draft) {
	if kept, of := draft.Kept(); 2*kept >= of {
		d.vain.Store(0)
		return
	}
	if d.vain.Add(1) >= mostVain {
		d.vain.Store(0)
		d.notBefore.Store(time.Now().Add(pause).Unix())
	}
}
