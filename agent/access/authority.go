package access

import (
	"cmp"
	"context"
	"log/slog"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/schema"
)

// Authority says what a caller may change; it implements datastore.Authority.
type Authority struct {
	who    Identity
	policy *PathPolicy // nil: nobody may change anything
	log    *slog.Logger
}

// View is what the caller of a call may see; nil: everything.
func (g *Guard) View(ctx context.Context) schema.View {
	policy, limited, who := g.policyFor(ctx)
	switch {
	case !limited:
		return nil
	case policy == nil:
		return blind{}
	}
	return view{policy.schema, policy.user(who.Name).read}
}

// blind sees nothing.
type blind struct{}

// Entry implements schema.View.
func (blind) Entry(schema.EntryKey) (schema.Extent, func(*schema.Node) bool) {
	return schema.Nothing, nil
}

// Authority is what the caller of a call may change; nil: everything.
func (g *Guard) Authority(ctx context.Context) *Authority {
	policy, limited, who := g.policyFor(ctx)
	if !limited {
		return nil
	}
	return &Authority{who: who, policy: policy, log: g.log}
}

// policyFor is the policy that a call goes by. Outside of a call nobody was asked:
// then, as with a policy that cannot be used, it is none that permits anything.
func (g *Guard) policyFor(ctx context.Context) (policy *PathPolicy, limited bool, who Identity) {
	c, err := callOf(ctx)
	switch {
	case err != nil:
		return nil, true, Identity{}
	case c.who.Owner || g.cfg.Paths == nil:
		return nil, false, c.who
	}
	p, there := g.cfg.Paths.Active()
	c.policy.Store(p)
	return p, there, c.who
}

// Administrator reports whether the caller of a call may end what others have begun:
// who may do everything, and whom the file of roles calls admin. Where there is no such
// file, nobody is that who goes by a policy of paths.
func (g *Guard) Administrator(ctx context.Context) bool {
	c, err := callOf(ctx)
	switch {
	case err != nil:
		return false
	case c.who.Owner:
		return true
	case g.cfg.Roles != nil && g.cfg.Roles.given():
		return g.cfg.Roles.Of(c.who) == Admin
	}
	_, limited, _ := g.policyFor(ctx)
	return !limited
}

// Some implements datastore.Authority: who may write nothing at all has no business
// with what keeps others from writing.
func (a *Authority) Some() error {
	if a.policy == nil || !a.policy.user(a.who.Name).write.permits {
		a.log.Warn("write denied", "user", a.who.Name, "path", "/", "rule", noRule)
		return status.Errorf(codes.PermissionDenied, "user %s may not write anything", a.who.Name)
	}
	return nil
}

// Asked implements datastore.Authority: what may not be written in part or whole is
// refused whether it is there or not, so that the answer does not tell.
func (a *Authority) Asked(edits []schema.Edit) error {
	if a.policy == nil {
		return a.deny("/", "", true)
	}
	write := a.policy.user(a.who.Name).write
	for _, e := range edits {
		if e.Path.HasWildcard() {
			continue
		}
		p := write.along(e.Path)
		if ok, id := p.permits(); !ok && !p.open() {
			return a.deny(e.Path.String(), id, true)
		}
	}
	return nil
}

// Changed implements datastore.Authority: each leaf that comes, goes or becomes
// another has to be one that may be written.
func (a *Authority) Changed(changes []schema.Change) error {
	if a.policy == nil {
		return a.deny("/", "", true)
	}
	sc, user := a.policy.schema, a.policy.user(a.who.Name)
	for _, c := range changes {
		p := user.write.along(sc.Path(c.Key))
		if ok, _ := p.permits(); ok && p.even() {
			continue
		}
		if n, id := a.forbidden(p, c); n != nil {
			seen, _ := user.read.along(sc.Path(c.Key)).under(n).permits()
			return a.deny(sc.NodeText(c.Key, n), id, seen)
		}
	}
	return nil
}

// forbidden finds what of a change may not be written. An entry that went counts
// with all that it held.
func (a *Authority) forbidden(p place, c schema.Change) (n *schema.Node, id string) {
	if c.New == nil {
		c.Old, c.New = nil, c.Old
	}
	sc, none := a.policy.schema, true
	sc.Diff(c, schema.LeafOptions{}, func(d schema.Delta) bool {
		none = false
		if ok, by := p.under(d.Node).permits(); !ok {
			n, id = d.Node, by
		}
		return n == nil
	})
	if none { // it has nothing but its keys
		if ok, by := p.permits(); !ok {
			return sc.Node(c.Key), by
		}
	}
	return n, id
}

// noRule stands in the log for the rule that there is none.
const noRule = "none permits it"

// deny writes a denial to the log and makes the answer of it, which names the path
// only to those who may see it, and the rule to nobody.
func (a *Authority) deny(path, id string, seen bool) error {
	a.log.Warn("write denied", "user", a.who.Name, "path", path, "rule", cmp.Or(id, noRule))
	if !seen {
		return status.Errorf(codes.PermissionDenied, "user %s may not write all that this would change", a.who.Name)
	}
	return status.Errorf(codes.PermissionDenied, "user %s may not write %s", a.who.Name, path)
}
