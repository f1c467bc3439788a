package agent

import (
	"fmt"
	"io/fs"
	"sync"
	"syscall"

	"heddle/agent/datastore"
	"heddle/reconcile"
)

// faultyDisk is a directory of the operating system that fails on demand.
type faultyDisk struct {
	datastore.FS

	mu   sync.Mutex // guards ops and plan
	ops  int        // since the plan was made
	plan func(op int, what string) diskFault
}

// diskFault is what happens to one operation.
type diskFault struct {
	err  error // the operation fails
	torn bool  // a write takes effect all the same, by half
}

func newFaultyDisk(dir string) *faultyDisk { return &faultyDisk{FS: datastore.DirFS(dir)} }

// failWith has every operation ask plan first, which counts from 1 on; nil ends
// that.
func (d *faultyDisk) failWith(plan func(op int, what string) diskFault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops, d.plan = 0, plan
}

func (d *faultyDisk) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

func (d *faultyDisk) op(what, name string) diskFault {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops++
	if d.plan == nil {
		return diskFault{}
	}
	f := d.plan(d.ops, what+" "+name)
	if f.err != nil {
		f.err = &fs.PathError{Op: what, Path: name, Err: f.err}
	}
	return f
}

func (d *faultyDisk) OpenFile(name string, flag int) (datastore.File, error) {
	if f := d.op("open", name); f.err != nil {
		return nil, f.err
	}
	file, err := d.FS.OpenFile(name, flag)
	return faultyFile{file, d, name}, err
}

func (d *faultyDisk) Rename(from, to string) error {
	if f := d.op("rename", from); f.err != nil {
		return f.err
	}
	return d.FS.Rename(from, to)
}

func (d *faultyDisk) Link(from, to string) error {
	if f := d.op("link", from); f.err != nil {
		return f.err
	}
	return d.FS.Link(from, to)
}

func (d *faultyDisk) Remove(name string) error {
	if f := d.op("remove", name); f.err != nil {
		return f.err
	}
	return d.FS.Remove(name)
}

type faultyFile struct {
	datastore.File
	disk *faultyDisk
	name string
}

func (f faultyFile) Write(p []byte) (int, error) {
	fault := f.disk.op("write", f.name)
	if !fault.torn {
		if fault.err != nil {
			return 0, fault.err
		}
		return f.File.Write(p)
	}
	n, err := f.File.Write(p[:len(p)/2])
	if err == nil {
		err = fault.err
	}
	return n, err
}

func (f faultyFile) Sync() error {
	if fault := f.disk.op("sync", f.name); fault.err != nil {
		return fault.err
	}
	return f.File.Sync()
}

func (f faultyFile) Truncate(size int64) error {
	if fault := f.disk.op("truncate", f.name); fault.err != nil {
		return fault.err
	}
	return f.File.Truncate(size)
}

// Close lets go of the file in any case.
func (f faultyFile) Close() error {
	fault := f.disk.op("close", f.name)
	if err := f.File.Close(); err != nil {
		return err
	}
	return fault.err
}

// diskFaults are the ways in which one operation can go wrong.
var diskFaults = map[string]diskFault{
	"no space":            {err: syscall.ENOSPC},
	"input/output error":  {err: syscall.EIO},
	"torn, no space":      {err: syscall.ENOSPC, torn: true},
	"torn, nobody told":   {torn: true},
	"torn, read-only now": {err: syscall.EROFS, torn: true},
}

// at has operation number n meet the fault.
func (f diskFault) at(n int) func(int, string) diskFault {
	return func(op int, _ string) diskFault {
		if op == n {
			return f
		}
		return diskFault{}
	}
}

func (f diskFault) String() string { return fmt.Sprintf("%v (torn %t)", f.err, f.torn) }

// death ends an agent: from a moment on nothing that it does to kernel and disk
// takes effect.
type death struct {
	*pipeline
	kernelOp, diskOp int // the first that does not, 0: another one

	mu   sync.Mutex // guards dead
	dead bool
}

func (d *death) struck(now bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = d.dead || now
	return d.dead
}

func (d *death) arm() {
	d.fake.FailWith(func(op int, _ reconcile.Step) error {
		if d.struck(op == d.kernelOp) {
			return errDead
		}
		return nil
	})
	d.disk.failWith(func(op int, _ string) diskFault {
		if d.struck(op == d.diskOp) {
			return diskFault{err: errDead}
		}
		return diskFault{}
	})
}
