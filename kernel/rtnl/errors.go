package rtnl

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// The texts below do not name the object: whoever reports them (the step's error
// in reconcile) has named it already.

// KernelError is a refusal by the kernel.
type KernelError struct {
	Op     string // "create", "change", "delete", "read"
	Object string // as the object describes itself
	Errno  syscall.Errno
	Text   string // the kernel's own words (extended ack), empty when it gave none
}

func (e *KernelError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("kernel refuses: %s", e.Errno.Error())
	}
	return fmt.Sprintf("kernel refuses: %s (%s)", e.Text, e.Errno.Error())
}

func (e *KernelError) Unwrap() error { return e.Errno }

// UnsupportedError says that this kernel cannot do what the object asks for.
type UnsupportedError struct {
	Feature Feature
	Reason  string // what the kernel answered or dropped, may be empty
	Remedy  string
}

func (e *UnsupportedError) Error() string {
	s := fmt.Sprintf("this kernel does not support %s", e.Feature)
	if e.Reason != "" {
		s += " (" + e.Reason + ")"
	}
	if e.Remedy != "" {
		s += ": " + e.Remedy
	}
	return s
}

// DroppedError says that the kernel accepted an object and did not keep all of
// it. Kernels ignore attributes that they do not know; the driver takes such an
// object away again before it reports the error.
type DroppedError struct {
	Object  string // what was asked for
	Dropped string // what is missing
	Held    string // what the kernel kept
}

func (e *DroppedError) Error() string {
	return fmt.Sprintf("kernel dropped %s and held: %s", e.Dropped, e.Held)
}

// ConflictError says that something which is not ours is in the way.
type ConflictError struct {
	Object string // what was asked for
	Holder string // what is there, and whose it is
	Remedy string
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is in the way: %s", e.Holder, e.Remedy)
}

// LossError says that something of somebody else went with a change and that the
// kernel does not take it back.
type LossError struct {
	Lost   string // the first things, and how many more there are
	Err    error  // why the first one cannot be put back
	Remedy string
}

func (e *LossError) Error() string {
	return fmt.Sprintf("%s went with it and cannot be put back (%v): %s", e.Lost, e.Err, e.Remedy)
}

func (e *LossError) Unwrap() error { return e.Err }

// MissingLinkError says that an object names a link that is not there.
type MissingLinkError struct {
	Link   string
	Object string
}

func (e *MissingLinkError) Error() string {
	return fmt.Sprintf("link %s does not exist: configure it as an interface, create it by other means, or correct the name", e.Link)
}

// UnfitError says that what an object names is there and of no use to it.
type UnfitError struct {
	Named  string // what is named, e.g. "link gre1"
	Reason string
	Remedy string
}

func (e *UnfitError) Error() string { return fmt.Sprintf("%s %s: %s", e.Named, e.Reason, e.Remedy) }

// MissingNextHopError says that a route names a shared next hop that is not there.
type MissingNextHopError struct {
	NextHop string
}

func (e *MissingNextHopError) Error() string {
	return fmt.Sprintf("nexthop %s does not exist: it is to be made before the routes that leave by it", e.NextHop)
}

// answer is a kernel's error as it came over the socket.
type answer struct {
	errno syscall.Errno
	text  string
}

func (a *answer) Error() string {
	if a.text != "" {
		return a.text + ": " + a.errno.Error()
	}
	return a.errno.Error()
}

func (a *answer) Unwrap() error { return a.errno }

// describe turns a transport error about op on object into one to report. What
// was done besides the step itself (reading back, restoring) is named.
func describe(op, object string, err error) error {
	if err == nil {
		return nil
	}
	if a, ok := errors.AsType[*answer](err); ok {
		err = &KernelError{Op: op, Object: object, Errno: a.errno, Text: a.text}
	}
	switch op {
	case opCreate, opChange, opDelete:
		return err
	}
	return fmt.Errorf("%s %s: %w", op, object, err)
}

// because adds the kernel's words to what is known to be behind them.
func because(reason, refusal error) error { return fmt.Errorf("%w (%w)", reason, refusal) }

// transient reports whether the kernel refused for a shortage that passes: the
// per-CPU allocator of the encapsulation's dst cache is refilled by a worker.
func transient(e syscall.Errno) bool {
	return e == unix.ENOMEM || e == unix.ENOBUFS || e == unix.EAGAIN
}
