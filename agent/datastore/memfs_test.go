package datastore

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"sync"
	"syscall"
	"testing"
)

// memFS is a file system that knows what is on stable storage and what is not
// yet, that fails on demand, and whose power can be cut.
type memFS struct {
	mu    sync.Mutex
	names map[string]*memNode
	// durable are the names at the last sync of the directory.
	durable map[string]*memNode

	ops  int // operations so far
	plan func(op int, what string) fault
	// crashed is set once the power is cut: every operation fails.
	crashed bool
	trace   []string
}

// memNode is a file: its content, and the content that is on stable storage.
type memNode struct {
	data, durable []byte
}

// fault is what happens to one operation.
type fault struct {
	err   error // the operation fails
	part  bool  // a write, truncation or sync takes effect all the same, in part
	crash bool  // the power is cut, before the operation
}

var errCrash = errors.New("power cut")

func newMemFS() *memFS {
	return &memFS{names: map[string]*memNode{}, durable: map[string]*memNode{}}
}

// op counts an operation and looks up its fate. It needs m.mu.
func (m *memFS) op(what string) fault {
	if m.crashed {
		return fault{err: errCrash}
	}
	m.ops++
	m.trace = append(m.trace, what)
	if m.plan == nil {
		return fault{}
	}
	f := m.plan(m.ops, what)
	if f.crash {
		m.crashed = true
		f.err = errCrash
	}
	return f
}

func (m *memFS) OpenFile(name string, flag int) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.op("open " + name); f.err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: f.err}
	}
	if name == "." {
		return &memFile{fs: m, name: name}, nil
	}
	n, ok := m.names[name]
	switch {
	case !ok && flag&os.O_CREATE == 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	case !ok:
		n = &memNode{}
		m.names[name] = n
	case flag&os.O_TRUNC != 0:
		n.data = nil
	}
	return &memFile{fs: m, name: name, node: n, append: flag&os.O_APPEND != 0}, nil
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.op("rename " + from); f.err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: f.err}
	}
	n, ok := m.names[from]
	if !ok {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: fs.ErrNotExist}
	}
	delete(m.names, from)
	m.names[to] = n
	return nil
}

func (m *memFS) Link(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.op("link " + from); f.err != nil {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: f.err}
	}
	n, ok := m.names[from]
	if !ok {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: fs.ErrNotExist}
	}
	if _, ok := m.names[to]; ok {
		return &os.LinkError{Op: "link", Old: from, New: to, Err: fs.ErrExist}
	}
	m.names[to] = n
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.op("remove " + name); f.err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: f.err}
	}
	if _, ok := m.names[name]; !ok {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	delete(m.names, name)
	return nil
}

// memFile is an open file of a memFS.
type memFile struct {
	fs     *memFS
	name   string
	node   *memNode // nil for the directory
	append bool
	at     int
}

func (f *memFile) fail(op string, ft fault) error {
	return &fs.PathError{Op: op, Path: f.name, Err: ft.err}
}

func (f *memFile) Read(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if ft := f.fs.op("read " + f.name); ft.err != nil {
		return 0, f.fail("read", ft)
	}
	if f.at >= len(f.node.data) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[f.at:])
	f.at += n
	return n, nil
}

func (f *memFile) Write(p []byte) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	ft := f.fs.op("write " + f.name)
	n := len(p)
	if ft.err != nil || ft.part {
		n = 0
		if ft.part {
			n = len(p) / 2
		}
	}
	if f.append {
		f.at = len(f.node.data)
	}
	// Snapshots of the content share memory with it.
	f.node.data = append(f.node.data[:f.at:f.at], p[:n]...)
	f.at += n
	if ft.err != nil {
		return n, f.fail("write", ft)
	}
	return n, nil
}

func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	ft := f.fs.op("sync " + f.name)
	if ft.err == nil || ft.part {
		if f.node == nil {
			f.fs.durable = maps.Clone(f.fs.names)
		} else {
			f.node.durable = f.node.data
		}
	}
	if ft.err != nil {
		return f.fail("sync", ft)
	}
	return nil
}

func (f *memFile) Truncate(size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if ft := f.fs.op("truncate " + f.name); ft.err != nil {
		return f.fail("truncate", ft)
	}
	f.node.data = f.node.data[:size:size]
	return nil
}

func (f *memFile) Close() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if ft := f.fs.op("close " + f.name); ft.err != nil {
		return f.fail("close", ft)
	}
	return nil
}

// loss is what a cut of the power leaves of what was not synced.
type loss int

const (
	loseNothing loss = iota // the process was killed, or all happened to be written
	loseAll                 // nothing that was not synced is there
	loseHalf                // names are as synced; of what was appended since, half is there
	loseData                // names are there, content is not
)

var losses = map[string]loss{"nothing": loseNothing, "all": loseAll, "half": loseHalf, "data": loseData}

// reboot returns the file system as it is found after the power was cut or the
// process killed.
func (m *memFS) reboot(l loss) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := m.names
	if l == loseAll || l == loseHalf {
		names = m.durable
	}
	after := newMemFS()
	nodes := map[*memNode]*memNode{}
	for name, n := range names {
		if nodes[n] == nil {
			data := n.durable
			switch l {
			case loseNothing:
				data = n.data
			case loseHalf:
				if d := len(n.data) - len(n.durable); d > 0 {
					data = n.data[:len(n.durable)+d/2]
				}
			}
			data = append([]byte(nil), data...)
			nodes[n] = &memNode{data: data, durable: data}
		}
		after.names[name] = nodes[n]
	}
	after.durable = maps.Clone(after.names)
	return after
}

func (m *memFS) get(t testing.TB, name string) []byte {
	t.Helper()
	n, ok := m.names[name]
	if !ok {
		t.Fatalf("%s is not there", name)
	}
	return n.data
}

func (m *memFS) put(name string, data []byte) {
	n := &memNode{data: data, durable: data}
	m.names[name], m.durable[name] = n, n
}

// failOp makes operation number n fail with err, and no other.
func failOp(n int, err error, part bool) func(int, string) fault {
	return func(op int, _ string) fault {
		if op == n {
			return fault{err: err, part: part}
		}
		return fault{}
	}
}

// failFrom makes operation number n and all later ones fail: a disk that died.
func failFrom(n int, err error) func(int, string) fault {
	return func(op int, _ string) fault {
		if op >= n {
			return fault{err: err}
		}
		return fault{}
	}
}

// crashAt cuts the power before operation number n.
func crashAt(n int) func(int, string) fault {
	return func(op int, _ string) fault { return fault{crash: op == n} }
}

var diskErrors = map[string]error{"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO}
