package datastore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"heddle/schema"
)

var (
	// ErrBusy: another commit held the store until the context ended.
	ErrBusy = errors.New("another commit is in progress")
	// ErrNotStarted: Start has not returned yet.
	ErrNotStarted = errors.New("the startup configuration is not loaded yet")
	// ErrNotLoaded stands for a StartupError where who asks may not know what it says.
	ErrNotLoaded = errors.New("the startup configuration was not loaded: only who may write everything, by no policy, may replace it")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("the datastore is closed")
	// ErrDirInUse: another process has the state directory.
	ErrDirInUse = errors.New("the directory is in use by another agent")
)

// Cause is one thing wrong with a request: an invalid path or value, a
// reference to nothing, a violated rule.
type Cause struct {
	Path   string // gNMI path text of the node
	Value  string // the offending value; "" when there is none
	Reason string // what is wrong
	Remedy string // what would be right; "" when Reason says it
	Rule   string // name of the rule of Rules that it breaks, e.g. "sid-locator"; "" if it is none
	Err    error  // the error this cause was made of, e.g. *schema.PathError; may be nil
}

func (c *Cause) Error() string {
	var b strings.Builder
	b.WriteString(c.Path)
	if c.Value != "" {
		fmt.Fprintf(&b, ": value %s", c.Value)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(c.Reason)
	if c.Remedy != "" {
		b.WriteString("; ")
		b.WriteString(c.Remedy)
	}
	return b.String()
}

// Unwrap gives the error this cause was made of.
func (c *Cause) Unwrap() error { return c.Err }

// ValidationError says why a configuration was refused before the kernel was
// asked. It has at least one cause; errors.As finds the *schema.PathError and
// *schema.ValueError among them.
type ValidationError struct {
	Causes []*Cause
	// More counts the causes that were found and left out.
	More int
}

func (e *ValidationError) Error() string {
	var b strings.Builder
	for i, c := range e.Causes {
		if i > 0 {
			b.WriteString("\n")
		}
		b.WriteString(c.Error())
	}
	if e.More > 0 {
		b.WriteString("\n" + schema.AndMore(e.More))
	}
	return b.String()
}

// Unwrap gives the causes.
func (e *ValidationError) Unwrap() []error {
	errs := make([]error, len(e.Causes))
	for i, c := range e.Causes {
		errs[i] = c
	}
	return errs
}

// OwnerError refuses to end what somebody else has begun.
type OwnerError struct {
	What  string // e.g. "the commit that waits to be confirmed"
	Owner string // "" for nobody in particular
}

func (e *OwnerError) Error() string {
	if e.Owner == "" {
		return e.What + " is not yours: an administrator can end it"
	}
	return fmt.Sprintf("%s is %s's: only %s or an administrator can end it", e.What, e.Owner, e.Owner)
}

// DurationError refuses a time that is too long.
type DurationError struct {
	What       string // e.g. "wait to be confirmed"
	Asked, Max time.Duration
}

func (e *DurationError) Error() string {
	return fmt.Sprintf("%s for %v: %v is the longest", e.What, e.Asked, e.Max)
}

// violation is what an error of Rules may implement to say where it belongs,
// without knowing this package.
type violation interface {
	error
	Violation() (path, value, reason, remedy string)
}

// causesOf takes an error of the schema or of Rules apart.
func causesOf(err error) []*Cause {
	if err == nil {
		return nil
	}
	// Only joined errors are lists: whoever wraps one error has more to say
	// about it than its parts do.
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the error itself is taken apart here
		var causes []*Cause
		for _, e := range joined.Unwrap() {
			causes = append(causes, causesOf(e)...)
		}
		return causes
	}
	var (
		cause  *Cause
		path   *schema.PathError
		value  *schema.ValueError
		broken violation
	)
	switch {
	case errors.As(err, &cause):
		return []*Cause{cause}
	case errors.As(err, &path):
		return []*Cause{{Path: path.Path, Reason: path.Reason, Err: err}}
	case errors.As(err, &value):
		return []*Cause{{Path: value.Path, Value: value.Value, Reason: value.Reason, Err: err}}
	case errors.As(err, &broken):
		c := &Cause{Err: err}
		c.Path, c.Value, c.Reason, c.Remedy = broken.Violation()
		if named, ok := broken.(interface{ RuleName() string }); ok {
			c.Rule = named.RuleName()
		}
		return []*Cause{c}
	}
	return []*Cause{{Reason: err.Error(), Err: err}}
}

// ApplyError says that the configuration is valid and could not be made to run;
// the kernel is as it was unless Err says otherwise.
type ApplyError struct {
	Err error // from the Applier
}

func (e *ApplyError) Error() string { return fmt.Sprintf("apply configuration: %v", e.Err) }
func (e *ApplyError) Unwrap() error { return e.Err }

// PersistError says that a configuration could not be made durable. The running
// configuration is as it was, and so is the kernel unless Undo is set.
type PersistError struct {
	Err error // from the file system
	// Undo is why the kernel could not be put back, if it could not.
	Undo error
	// Uncertain is set if the file system also failed to take back what it
	// may have written: a restart before the next successful commit may come up
	// with the configuration that was refused here.
	Uncertain bool
}

func (e *PersistError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "persist configuration: %v", e.Err)
	if e.Undo != nil {
		fmt.Fprintf(&b, "; undo in the kernel: %v", e.Undo)
	}
	if e.Uncertain {
		b.WriteString("; the files could not be put back either, a restart now may come up with the refused configuration")
	}
	return b.String()
}

// Unwrap gives the error of the file system and that of the undo.
func (e *PersistError) Unwrap() []error {
	if e.Undo == nil {
		return []error{e.Err}
	}
	return []error{e.Err, e.Undo}
}

// StartupError says why the persisted configuration does not run. The files and
// the kernel are untouched, the running configuration is empty, and the store
// takes only commits that say what all of the configuration is to be (a replace
// or delete of the root), until such a commit or another Start succeeds.
type StartupError struct {
	File   string // name with directory
	Line   int    // from 1; 0 if the trouble has no place in the file
	Column int    // in octets, from 1
	Path   string // gNMI path text, if the trouble is with a node
	Reason string
	// Previous is the file that holds the configuration before the last large
	// commit, if there is a whole one.
	Previous *PreviousFile
	Err      error
}

// PreviousFile describes startup.json.prev.
type PreviousFile struct {
	Name     string // with directory
	Revision uint64
	Time     string // RFC 3339
}

func (e *StartupError) Error() string {
	var b strings.Builder
	b.WriteString("load startup configuration: ")
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Path != "" {
		fmt.Fprintf(&b, ": %s", e.Path)
	}
	fmt.Fprintf(&b, ": %s", e.Reason)
	if p := e.Previous; p != nil {
		fmt.Fprintf(&b, "; %s holds revision %d of %s: copy it over %s to go back to it",
			p.Name, p.Revision, p.Time, strings.TrimSuffix(p.Name, prevSuffix))
	}
	return b.String()
}

func (e *StartupError) Unwrap() error { return e.Err }
