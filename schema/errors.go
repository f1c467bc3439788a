package schema

import (
	"fmt"
	"strings"
)

// Code classifies a PathError.
type Code uint8

const (
	// NotFound: the schema has no such node.
	NotFound Code = iota + 1
	// BadKey: a key is missing, unknown, of the wrong type, or a wildcard
	// where an instance is required.
	BadKey
	// Malformed: the path text cannot be parsed.
	Malformed
	// ReadOnly: the path is of a config false node and the request writes.
	ReadOnly
	// BadEdit: the operation makes no sense at this node (a scalar for a
	// container, an update of a list without its keys).
	BadEdit
)

// PathError says what is wrong with a path.
type PathError struct {
	Path   string // gNMI path text, as far as it is understood
	Reason string // what is wrong and what would be right
	Code   Code
}

func (e *PathError) Error() string { return fmt.Sprintf("path %s: %s", e.Path, e.Reason) }

// ValueError says what is wrong with a payload.
type ValueError struct {
	Path   string // gNMI path text of the offending node
	Value  string // the offending value, shortened; "" when there is none
	Reason string // what is wrong and what would be right
}

func (e *ValueError) Error() string {
	if e.Value == "" {
		return fmt.Sprintf("%s: %s", e.Path, e.Reason)
	}
	return fmt.Sprintf("%s: value %s: %s", e.Path, e.Value, e.Reason)
}

// Errors are several errors of which some are only counted.
type Errors struct {
	Errs []error // MaxErrors at most
	More int     // from MaxCounted on it may be more
}

func (e *Errors) Error() string {
	var b strings.Builder
	for _, err := range e.Errs {
		b.WriteString(err.Error())
		b.WriteByte('\n')
	}
	b.WriteString(AndMore(e.More))
	return b.String()
}

// AndMore says that so many errors are only counted.
func AndMore(n int) string {
	if n >= MaxCounted {
		return fmt.Sprintf("and %d or more", n)
	}
	return fmt.Sprintf("and %d more", n)
}

// Unwrap gives those that are not only counted.
func (e *Errors) Unwrap() []error { return e.Errs }
