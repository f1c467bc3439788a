package gnmi

import (
	"google.golang.org/grpc/status"

	"heddle/agent/datastore"
	"heddle/schema"
)

// mistakes are those of a SetRequest, in its order: schema.MaxErrors at most, and a
// count of the rest.
type mistakes struct{ schema.Errors }

func (m *mistakes) add(err error) {
	if len(m.Errs) < schema.MaxErrors {
		m.Errs = append(m.Errs, err)
		return
	}
	m.More++
}

// enough reports whether there are so many that nobody counts on.
func (m *mistakes) enough() bool { return m.More >= schema.MaxCounted }

func (m *mistakes) join(o mistakes) {
	for _, err := range o.Errs {
		m.add(err)
	}
	m.More += o.More
}

// allMistakes is the error of a Set whose paths are not all right: it has what is wrong
// with the values at the others, too. nil: no path is wrong.
func (s *Server) allMistakes(wrong mistakes, edits []schema.Edit) error {
	if len(wrong.Errs) == 0 {
		return nil
	}
	var values error
	if !wrong.enough() {
		_, values = s.schema.Apply(schema.Entries{}, edits)
	}
	if values == nil && len(wrong.Errs) == 1 {
		return s.statusOf(wrong.Errs[0], set)
	}
	code := status.Code(s.statusOf(wrong.Errs[0], set))
	for i, err := range wrong.Errs {
		if st, ok := status.FromError(err); ok {
			wrong.Errs[i] = &datastore.Cause{Reason: st.Message()}
		}
	}
	all := []error{&wrong.Errors}
	if values != nil {
		all = append(all, values)
	}
	return causesStatus(code, datastore.Mistakes(all...))
}
