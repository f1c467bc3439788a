package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"heddle/kernel/object"
)

// Wanted is an object that the configuration asks for.
type Wanted struct {
	Object object.Object

	// Origin says which part of the configuration asks for it, in the words of
	// those who do: what OriginText makes of it is in errors.
	Origin string
}

func (w Wanted) String() string {
	if w.Origin == "" {
		return fmt.Sprint(w.Object)
	}
	return fmt.Sprintf("%v (%s)", w.Object, w.Origin)
}

// Change says what is wanted of one key from now on. A zero Want means that
// nothing is.
type Change struct {
	Key  object.Key
	Want Wanted
}

// Plan is the way from what the kernel holds to what is wanted, in an order
// that the kernel accepts. It is valid until the next Apply or Commit.
type Plan struct {
	Steps []Step

	// ends are the positions behind the last step of each batch.
	ends []int

	// touched are the keys that the plan is about, in order.
	touched []touched

	// generation is the state that the plan starts from.
	generation uint64

	text func(origin string) string
}

// touched is a key with what is wanted of it once the plan is carried out.
type touched struct {
	key  object.Key
	want Wanted

	// from is the origin of what is wanted or, if that is nothing, of what was.
	from string

	// asked is set where one of the changes is about the key.
	asked bool

	// node is nil where nothing was known of the key.
	node *node

	// first and last are the positions of the steps on the key, -1: none.
	first, last int32
}

// Batches cuts Steps into runs of one kind whose steps do not depend on each
// other and either all make something or all remove something.
func (p Plan) Batches() [][]Step {
	batches := make([][]Step, 0, len(p.ends))
	start := 0
	for _, end := range p.ends {
		batches = append(batches, p.Steps[start:end])
		start = end
	}
	return batches
}

// Empty reports whether the kernel already holds all that is wanted.
func (p Plan) Empty() bool { return len(p.Steps) == 0 }

// String lists the steps, one a line.
func (p Plan) String() string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}

// String is "add ", "del " or "set " and the object in the words of iproute2.
func (s Step) String() string {
	switch {
	case s.Old == nil:
		return fmt.Sprintf("add %v", s.New)
	case s.New == nil:
		return fmt.Sprintf("del %v", s.Old)
	}
	return fmt.Sprintf("set %v", s.New)
}

// Origin is the model path that asks for the object that s is about, or asked for
// it; empty where none is known.
func (p Plan) Origin(s Step) string {
	t := p.find(s.Key())
	if t == nil {
		return ""
	}
	return p.text(t.from)
}

// find returns nil for a key that the plan is not about.
func (p Plan) find(k object.Key) *touched {
	i, ok := slices.BinarySearchFunc(p.touched, k, func(t touched, k object.Key) int { return t.key.Compare(k) })
	if !ok {
		return nil
	}
	return &p.touched[i]
}
