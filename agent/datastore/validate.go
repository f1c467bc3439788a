package datastore

import (
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strings"
	"sync"

	"heddle/schema"
)

const (
	// maxCauses is how many causes one error lists.
	maxCauses = schema.MaxErrors
	// maxReferrers is how many referrers a cause names.
	maxReferrers = 3
)

// causes are those that are found, and how many more there are.
type causes struct {
	list []*Cause
	more int
}

func (c *causes) add(list ...*Cause) {
	n := min(len(list), max(0, maxCauses-len(c.list)))
	c.list = append(c.list, list[:n]...)
	c.more += len(list) - n
}

// addError adds what an error of the schema or of Rules is made of.
func (c *causes) addError(err error) {
	if several, ok := errors.AsType[*schema.Errors](err); ok {
		c.more += several.More
		err = errors.Join(several.Errs...)
	}
	c.add(causesOf(err)...)
}

// Mistakes makes one error of several, of the schema or others that each are a cause.
func Mistakes(errs ...error) *ValidationError {
	var c causes
	for _, err := range errs {
		c.addError(err)
	}
	return &ValidationError{Causes: c.list, More: c.more}
}

// validate checks what the changes touch: the changed entries, what they refer
// to, and what refers to those that went.
func (s *Store) validate(old, next *Snapshot, changes []schema.Change) error {
	c := s.checkEntries(next, changes)
	// The rules may rely on types and references being right.
	if len(c.list) == 0 {
		for _, err := range s.rules.Check(old, next, changes) {
			c.addError(err)
		}
	}
	if len(c.list) == 0 {
		return nil
	}
	return &ValidationError{Causes: c.list, More: c.more}
}

// parallelShare is how many entries are worth a goroutine.
const parallelShare = 4096

// checkEntries is the part of validate that looks at each change alone. Large
// changes are spread over the processors.
func (s *Store) checkEntries(next *Snapshot, changes []schema.Change) (all causes) {
	workers := min(runtime.GOMAXPROCS(0), len(changes)/parallelShare)
	if workers < 2 {
		return s.checkShare(next, changes, changes)
	}
	found := make([]causes, workers)
	var wg sync.WaitGroup
	for i := range found {
		share := changes[i*len(changes)/workers : (i+1)*len(changes)/workers]
		wg.Go(func() { found[i] = s.checkShare(next, share, changes) })
	}
	wg.Wait()
	for _, c := range found {
		all.add(c.list...)
		all.more += c.more
	}
	return all
}

// checkShare checks a share of all changes.
func (s *Store) checkShare(next *Snapshot, share, all []schema.Change) (found causes) {
	for _, c := range share {
		if c.New == nil {
			found.add(s.checkReferrers(next, c.Key, all)...)
			continue
		}
		found.addError(s.schema.Validate(c.Key, c.New))
		found.add(s.checkRefs(next, c)...)
	}
	return found
}

// checkRefs finds the references of an entry that lead nowhere.
func (s *Store) checkRefs(next *Snapshot, c schema.Change) (causes []*Cause) {
	s.schema.Refs(c.Key, c.New, func(r schema.Ref) bool {
		if r.Target == "" {
			causes = append(causes, &Cause{
				Path:   s.schema.NodePath(c.Key, r.Leaf).String(),
				Value:  r.Value.String(),
				Reason: "the reference also needs the leaf that says where to look for it, which is not set",
			})
			return true
		}
		if _, ok := next.Get(r.Target); !ok {
			causes = append(causes, &Cause{
				Path:   s.schema.NodePath(c.Key, r.Leaf).String(),
				Value:  r.Value.String(),
				Reason: fmt.Sprintf("refers to %s, which does not exist", s.schema.Text(r.Target)),
				Remedy: "create it in the same request or refer to one that exists",
			})
		}
		return true
	})
	return causes
}

// checkReferrers finds who still refers to an entry that went. Referrers that
// changed too are left to checkRefs.
func (s *Store) checkReferrers(next *Snapshot, gone schema.EntryKey, changes []schema.Change) []*Cause {
	var names []string
	count := 0
	next.Referrers(gone, func(referrer schema.EntryKey) bool {
		if changed(changes, referrer) {
			return true
		}
		if count++; count <= maxReferrers {
			names = append(names, s.referringLeaf(next, referrer, gone))
		}
		// A count beyond this is of no use to anybody.
		return count < 1000
	})
	if count == 0 {
		return nil
	}
	by := strings.Join(names, ", ")
	if more := count - len(names); more > 0 {
		by += fmt.Sprintf(" and %d more", more)
	}
	return []*Cause{{
		Path:   s.schema.Text(gone),
		Reason: "cannot be deleted, it is referred to by " + by,
		Remedy: "delete or change the references in the same request",
	}}
}

// referringLeaf is the path of the leaf of referrer that refers to target.
func (s *Store) referringLeaf(next *Snapshot, referrer, target schema.EntryKey) string {
	path := s.schema.Text(referrer)
	e, ok := next.Get(referrer)
	if !ok {
		return path
	}
	s.schema.Refs(referrer, e, func(r schema.Ref) bool {
		if r.Target == target {
			path = s.schema.NodePath(referrer, r.Leaf).String()
		}
		return r.Target != target
	})
	return path
}

// changed reports whether a key is among the changes, which are in key order.
func changed(changes []schema.Change, k schema.EntryKey) bool {
	i := sort.Search(len(changes), func(i int) bool { return changes[i].Key >= k })
	return i < len(changes) && changes[i].Key == k
}
