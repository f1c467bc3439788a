// Package iproute says what the steps of a plan do to the kernel in the words of
// iproute2 and sysctl: the commands that a person would type, in their order.
//
// It serves the plan of a Set, for people. It is no driver and runs nothing; the
// drivers do not use it. Its test runs the commands with the real ip and compares
// the kernel's state with what the drivers make of the same steps.
//
// What the commands leave out: iproute2 marks addresses with a protocol since its
// version 6.4 only, so they are written without one; and what the drivers put back
// because Linux takes it along is not among them.
package iproute

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"heddle/kernel/object"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
)

// Command is a command line as words. The first may be "#": the rest says then what is
// done without one.
type Command []string

// String is the command as one types it to a shell.
func (c Command) String() string {
	if c[0] == "#" { // no command but a word about it
		return strings.Join(c, " ")
	}
	words := make([]string, len(c))
	for i, w := range c {
		words[i] = quoted(w)
	}
	return strings.Join(words, " ")
}

// plain are the characters, besides letters and digits, that mean nothing to a
// shell within a word.
const plain = "-_./:,=@%+"

func quoted(w string) string {
	special := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(plain, r))
	}
	if w != "" && strings.IndexFunc(w, special) < 0 {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}

// UnknownError says that there is no command for an object.
type UnknownError struct {
	Object object.Object
	What   string // of it
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("write %v as a command of iproute2: there is none known for %s", e.Object, e.What)
}

// Kernel knows what commands have to say and the objects do not. It changes
// nothing. *drivers.Drivers is one.
type Kernel interface {
	// HopID is the id of a shared next hop: the one that it has (there), or the one
	// that it will get, which is none of taken.
	HopID(ctx context.Context, hop string, taken map[uint32]bool) (id uint32, there bool, err error)

	// Likeness is the MAC address (nil: none) and the MTU in octets (0: left) that a
	// link has now and gets again when it is deleted and made anew.
	Likeness(ctx context.Context, link object.Link) (net.HardwareAddr, uint32, error)

	// GivesBack is what s takes back to what it was before us.
	GivesBack(ctx context.Context, s reconcile.Step) (GivenBack, error)
}

// GivenBack are values from before us, according to the kind of the object.
type GivenBack struct {
	Params []object.Sysctl // in the order in which they are written
	Link   rtnl.LinkProps

	Source    netip.Addr // zero: none
	HasSource bool
}

// Commands are those of each of the steps of a plan, in their order. A step that
// needs none, because another one brings it about, has none.
//
// Errors are *UnknownError, and those of k.
func Commands(ctx context.Context, k Kernel, steps []reconcile.Step) ([][]Command, error) {
	w := &writer{k: k, taken: map[uint32]bool{}, ids: map[string]uint32{}, dropped: map[string]bool{}, places: rtnl.Repoints(steps)}
	all := make([][]Command, len(steps))
	for i, s := range steps {
		var err error
		if all[i], err = w.step(ctx, s); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// writer writes the steps of one plan, one after the other.
type writer struct {
	k       Kernel
	ids     map[string]uint32 // of shared next hops that have come up
	taken   map[uint32]bool   // ids promised to those that the plan makes
	dropped map[string]bool   // links that the plan has deleted so far
	places  map[string]*object.SharedNextHop
}

func (w *writer) step(ctx context.Context, s reconcile.Step) ([]Command, error) {
	o := s.New
	if o == nil {
		o = s.Old
	}
	switch o := o.(type) {
	case object.Link:
		return w.link(ctx, s, o)
	case object.Sysctl:
		return w.sysctl(ctx, s, o)
	case object.Member:
		return w.member(ctx, s, o)
	case object.LinkConfig:
		return w.linkConfig(ctx, s)
	case object.Address:
		return address(s, o), nil
	case object.Neighbour:
		return neighbour(s, o), nil
	case object.TunnelSource:
		return w.tunnelSource(ctx, s, o)
	case object.HMACKey:
		return hmacKey(o), nil
	case *object.SharedNextHop:
		return w.sharedNextHop(ctx, s, o)
	case *object.NextHopGroup:
		return w.group(ctx, s, o)
	case *object.Route:
		return w.route(ctx, s, o)
	case *object.LocalSID:
		return sid(s, o)
	case object.ProxyPort:
		return program(s, portProgram[o.Role], o.Link), nil
	case *object.Proxy:
		if o.Behavior == object.EndAM {
			return masquerade(s, o), nil
		}
		return program(s, "nf_ingress", strings.Join(o.Links(), " and ")), nil
	}
	return nil, &UnknownError{o, fmt.Sprintf("objects of type %T", o)}
}

// portProgram is the program of a port by its role (bpf/srproxy.c, bpf/masquerade.h).
var portProgram = [...]string{object.PortSIDs: "sr_ingress", object.PortMasquerade: "am_egress", object.PortUnmask: "am_ingress"}

// masquerade says that programs that are in their places serve a SID more or less.
func masquerade(s reconcile.Step, o *object.Proxy) []Command {
	what := "write " + o.SID.String() + " into the maps of "
	if s.New == nil {
		what = "remove " + o.SID.String() + " from the maps of "
	}
	return one("#", what+"am_egress and am_ingress (programs of Heddle)")
}

// program says that one of our own programs (bpf/srproxy.c) comes, goes or gets
// another row in its maps. There is no command for that.
func program(s reconcile.Step, name, link string) []Command {
	what := "attach " + name + " to " + link
	switch {
	case s.New == nil:
		what = "detach " + name + " from " + link
	case s.Old != nil:
		what = "write the maps of " + name + " on " + link
	}
	return one("#", what+" (a program of Heddle)")
}

// one is a step that is one command.
func one(words ...string) []Command { return []Command{words} }

// verb is what ip calls what a step does.
func verb(s reconcile.Step) string {
	switch {
	case s.Old == nil:
		return "add"
	case s.New == nil:
		return "del"
	}
	return "replace"
}

func number(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

func (w *writer) sysctl(ctx context.Context, s reconcile.Step, o object.Sysctl) ([]Command, error) {
	params := []object.Sysctl{o}
	if s.New == nil {
		back, err := w.k.GivesBack(ctx, s)
		if err != nil {
			return nil, err
		}
		params = back.Params
	}
	var out []Command
	for _, p := range params {
		out = append(out, Command{"sysctl", "-w", paramName(p.Name) + "=" + p.Value})
	}
	return out, nil
}

// paramName is a path below /proc/sys with dots, as people write it, unless a part
// of it has some, as the names of VLANs do.
func paramName(path string) string {
	if strings.Contains(path, ".") {
		return path
	}
	return strings.ReplaceAll(path, "/", ".")
}

// hmacKey asks for the secret at the terminal; with none the key is deleted.
func hmacKey(o object.HMACKey) []Command {
	return one("ip", "sr", "hmac", "set", number(o.ID), o.Algorithm.String())
}

func (w *writer) tunnelSource(ctx context.Context, s reconcile.Step, o object.TunnelSource) ([]Command, error) {
	source := o.Source
	if s.New == nil {
		back, err := w.k.GivesBack(ctx, s)
		if err != nil || !back.HasSource {
			return nil, err
		}
		if source = back.Source; !source.IsValid() {
			source = netip.IPv6Unspecified()
		}
	}
	return one("ip", "sr", "tunsrc", "set", source.String()), nil
}
