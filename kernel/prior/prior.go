// Package prior keeps what was there before we changed it: the value of a
// kernel parameter, the MTU of a link that somebody else made. It serves the
// drivers of objects that the kernel gives no room for a mark of ours; what is
// in the record is ours, and deleting the object gives the old value back.
//
// A record is on the disk before the change it belongs to is made, so a crash
// leaves at worst a record of a change that did not happen. The package knows
// nothing of netlink or /proc.
package prior

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"heddle/kernel/object"
)

const (
	fileName = "prior.json"
	version  = 1
)

// Entry is one object that was set over something else.
type Entry struct {
	Key object.Key `json:"-"`

	// Ifindex is the link whose property it is, 0 for none. A recreated link has
	// another index, so the entry does not apply to it.
	Ifindex int32 `json:"ifindex,omitempty"`

	// Before are the values found, Set the values written, by property.
	Before map[string]string `json:"before,omitempty"`
	Set    map[string]string `json:"set,omitempty"`
}

// Store is the record. It is safe for concurrent use.
type Store struct {
	path string

	mu      sync.Mutex // guards entries and the file
	scope   string
	entries map[object.Key]Entry
}

// file is the form on the disk.
type file struct {
	Version int      `json:"version"`
	Scope   string   `json:"scope"`
	Entries []onDisk `json:"entries"`
}

type onDisk struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Entry
}

// Open reads the record in dir; an empty dir keeps it in memory only. scope
// names the life of the kernel state the values belong to (see Scope): a record
// of another scope is void, because the values it speaks of are gone.
func Open(dir, scope string) (*Store, error) {
	s := &Store{scope: scope, entries: make(map[object.Key]Entry)}
	if dir == "" {
		return s, nil
	}
	s.path = filepath.Join(dir, fileName)
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read record of prior values: %w", err)
	}
	if err := s.load(b); err != nil {
		return nil, fmt.Errorf("read record of prior values %s: %w: repair it, or remove it to give up the values it holds", s.path, err)
	}
	return s, nil
}

func (s *Store) load(b []byte) error {
	var f file
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	if f.Version != version {
		return fmt.Errorf("version %d, this program reads version %d", f.Version, version)
	}
	if f.Scope != s.scope {
		return nil
	}
	kinds := make(map[string]object.Kind)
	for _, k := range object.Kinds() {
		kinds[k.String()] = k
	}
	for _, d := range f.Entries {
		k, ok := kinds[d.Kind]
		if !ok {
			return fmt.Errorf("unknown kind %q", d.Kind)
		}
		d.Entry.Key = object.Key{Kind: k, ID: d.ID}
		s.entries[d.Entry.Key] = d.Entry
	}
	return nil
}

// Get returns the entry under k.
func (s *Store) Get(k object.Key) (Entry, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, ok := s.entries[k]
	return e, ok
}

// Kind returns the entries of one kind, ordered by key.
func (s *Store) Kind(kind object.Kind) []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var es []Entry
	for k, e := range s.entries {
		if k.Kind == kind {
			es = append(es, e)
		}
	}
	slices.SortFunc(es, func(a, b Entry) int { return a.Key.Compare(b.Key) })
	return es
}

// Put adds or replaces entries. When it returns nil they are on the disk; when
// it returns an error the record is as it was.
func (s *Store) Put(es ...Entry) error {
	return s.change(func(m map[object.Key]Entry) {
		for _, e := range es {
			m[e.Key] = e
		}
	})
}

// Delete removes entries; those that are not there are no error.
func (s *Store) Delete(keys ...object.Key) error {
	return s.change(func(m map[object.Key]Entry) {
		for _, k := range keys {
			delete(m, k)
		}
	})
}

func (s *Store) change(fn func(map[object.Key]Entry)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.entries)
	fn(next)
	if maps.EqualFunc(next, s.entries, Entry.equal) {
		return nil
	}
	if err := s.write(next); err != nil {
		return fmt.Errorf("write record of prior values: %w", err)
	}
	s.entries = next
	return nil
}

func (e Entry) equal(o Entry) bool {
	return e.Key == o.Key && e.Ifindex == o.Ifindex && maps.Equal(e.Before, o.Before) && maps.Equal(e.Set, o.Set)
}

// write replaces the file as a whole: the old one or the new one survives a
// crash, never a mixture.
func (s *Store) write(m map[object.Key]Entry) error {
	if s.path == "" {
		return nil
	}
	f := file{Version: version, Scope: s.scope, Entries: make([]onDisk, 0, len(m))}
	for _, k := range slices.SortedFunc(maps.Keys(m), object.Key.Compare) {
		f.Entries = append(f.Entries, onDisk{k.Kind.String(), k.ID, m[k]})
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	// Always the same name: what a killed process leaves is overwritten.
	tmp, err := os.OpenFile(s.path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(b, '\n'))
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), s.path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return syncDir(filepath.Dir(s.path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
