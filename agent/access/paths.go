package access

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/gnsi/pathz"

	"heddle/schema"
)

// PathPolicy says who may read and write which paths, as gNSI's pathz has it: of the
// rules that match a path, the one with the longest path decides, then the one with
// the most keys that are no wildcards, then one for the user before one for a group,
// then a denial (openconfig/gnsi, pathz/authorization-README.md, "Best Match"). What
// no rule matches is denied.
type PathPolicy struct {
	Upload *pathz.UploadRequest

	schema *schema.Schema
	rules  []*rule

	mu    sync.Mutex // guards users
	users map[string]*userPaths
}

// rule is one of a policy.
type rule struct {
	id     string
	path   schema.Path
	write  bool
	permit bool
	user   string          // "": it is a group's
	group  map[string]bool // users in it
}

// maxUsers is for how many users a policy is kept in the form that is fast.
const maxUsers = 1024

// CompilePaths checks a policy. Every mistake that it has is in the error.
func CompilePaths(sc *schema.Schema, up *pathz.UploadRequest) (*PathPolicy, error) {
	p := &PathPolicy{Upload: up, schema: sc, users: map[string]*userPaths{}}
	var wrong []string
	groups := map[string]map[string]bool{}
	for _, g := range up.GetPolicy().GetGroups() {
		if g.GetName() == "" || groups[g.GetName()] != nil {
			wrong = append(wrong, fmt.Sprintf("group %q: it is there twice, or has no name", g.GetName()))
			continue
		}
		users := map[string]bool{}
		for _, u := range g.GetUsers() {
			users[u.GetName()] = true
		}
		groups[g.GetName()] = users
	}
	ids := map[string]bool{}
	for i, r := range up.GetPolicy().GetRules() {
		c, err := p.compile(r, groups)
		switch {
		case r.GetId() == "" || ids[r.GetId()]:
			wrong = append(wrong, fmt.Sprintf("rule %d: the id %q is empty or there twice: give each rule its own", i+1, r.GetId()))
		case err != nil:
			wrong = append(wrong, fmt.Sprintf("rule %s: %v", r.GetId(), err))
		default:
			p.rules = append(p.rules, c)
		}
		ids[r.GetId()] = true
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("use policy of paths: %s", strings.Join(wrong[:min(len(wrong), 8)], "; "))
	}
	return p, nil
}

func (p *PathPolicy) compile(r *pathz.AuthorizationRule, groups map[string]map[string]bool) (*rule, error) {
	c := &rule{id: r.GetId(), permit: r.GetAction() == pathz.Action_ACTION_PERMIT, write: r.GetMode() == pathz.Mode_MODE_WRITE}
	if !c.permit && r.GetAction() != pathz.Action_ACTION_DENY {
		return nil, fmt.Errorf("action %s: use ACTION_PERMIT or ACTION_DENY", r.GetAction())
	}
	if !c.write && r.GetMode() != pathz.Mode_MODE_READ {
		return nil, fmt.Errorf("mode %s: use MODE_READ or MODE_WRITE", r.GetMode())
	}
	switch who := r.GetPrincipal().(type) {
	case *pathz.AuthorizationRule_User:
		c.user = who.User
	case *pathz.AuthorizationRule_Group:
		if c.group = groups[who.Group]; c.group == nil {
			return nil, fmt.Errorf("group %q is not one of the policy", who.Group)
		}
	}
	if c.user == "" && c.group == nil {
		return nil, fmt.Errorf("it is for nobody: name a user or a group")
	}
	var err error
	c.path, err = ResolvePath(p.schema, r.GetPath())
	return c, err
}

// applies reports whether a rule is about a user.
func (r *rule) applies(user string) bool {
	if r.group != nil {
		return r.group[user]
	}
	return r.user == user
}

// PathPolicies are the policy of paths.
type PathPolicies = Policies[*pathz.UploadRequest, *PathPolicy]

// NewPathPolicies reads the policy of paths of a file.
func NewPathPolicies(sc *schema.Schema, path string, log *slog.Logger) *PathPolicies {
	return newPolicies("paths", path, func() *pathz.UploadRequest { return &pathz.UploadRequest{} },
		func(m *pathz.UploadRequest) (*PathPolicy, error) { return CompilePaths(sc, m) }, log)
}

// Permits says whether a user may read or write what is at a path, and by which rule;
// "" is none.
func (p *PathPolicy) Permits(user string, at schema.Path, write bool) (ok bool, id string) {
	paths := p.user(user)
	if write {
		return paths.write.along(at).permits()
	}
	return paths.read.along(at).permits()
}

// Resolve finds the nodes of a path that somebody asks about.
func (p *PathPolicy) Resolve(at *gpb.Path) (schema.Path, error) { return ResolvePath(p.schema, at) }

// userPaths are the rules for one user.
type userPaths struct{ read, write *branch }

// branch is a place in the tree of the paths of rules.
type branch struct {
	rule    *rule // that ends here
	permits bool  // there is a rule here or further down that permits
	nodes   map[*schema.Node]*branch
	lists   map[*schema.Node]*entries
}

// entries are the branches at the entries of a list.
type entries struct {
	exact map[string]*branch // by all keys
	wild  []wildBranch       // with one or more that are wildcards
}

type wildBranch struct {
	keys     []string
	definite int
	to       *branch
}

func (p *PathPolicy) user(name string) *userPaths {
	p.mu.Lock()
	defer p.mu.Unlock()
	if u := p.users[name]; u != nil {
		return u
	}
	u := &userPaths{read: &branch{}, write: &branch{}}
	for _, r := range p.rules {
		switch {
		case !r.applies(name):
		case r.write:
			u.write.add(r)
		default:
			u.read.add(r)
		}
	}
	if len(p.users) >= maxUsers {
		clear(p.users)
	}
	p.users[name] = u
	return u
}

// add files a rule under its path.
func (b *branch) add(r *rule) {
	for _, e := range r.path {
		b.permits = b.permits || r.permit
		b = b.grow(e)
	}
	b.permits = b.permits || r.permit
	if b.rule == nil || better(r, b.rule) {
		b.rule = r
	}
}

// better orders rules of one path.
func better(a, b *rule) bool {
	if (a.user != "") != (b.user != "") {
		return a.user != ""
	}
	return !a.permit && b.permit
}

func (b *branch) grow(e schema.Elem) *branch {
	if e.Node.Kind != schema.List {
		if b.nodes == nil {
			b.nodes = map[*schema.Node]*branch{}
		}
		if b.nodes[e.Node] == nil {
			b.nodes[e.Node] = &branch{}
		}
		return b.nodes[e.Node]
	}
	if b.lists == nil {
		b.lists = map[*schema.Node]*entries{}
	}
	l := b.lists[e.Node]
	if l == nil {
		l = &entries{exact: map[string]*branch{}}
		b.lists[e.Node] = l
	}
	keys := e.Keys
	if keys == nil {
		keys = slices.Repeat([]string{schema.Wildcard}, len(e.Node.Keys))
	}
	definite := 0
	for _, k := range keys {
		if k != schema.Wildcard {
			definite++
		}
	}
	if definite == len(keys) {
		at := joined(keys)
		if l.exact[at] == nil {
			l.exact[at] = &branch{}
		}
		return l.exact[at]
	}
	for _, w := range l.wild {
		if slices.Equal(w.keys, keys) {
			return w.to
		}
	}
	l.wild = append(l.wild, wildBranch{keys, definite, &branch{}})
	return l.wild[len(l.wild)-1].to
}

// joined makes one string of keys: the same for the same keys only.
func joined(keys []string) string {
	if len(keys) == 1 {
		return keys[0]
	}
	var b strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&b, "%d:%s", len(k), k)
	}
	return b.String()
}

// place is where one goes down the tree of rules along a path: several branches at
// once, since wildcards and exact keys both match.
type place struct {
	best found
	at   []found // rule: nil where none ends there
}

// found is a branch that was reached.
type found struct {
	branch   *branch
	definite int // keys on the way that are no wildcards
}

func (b *branch) start() place {
	p := place{at: []found{{branch: b}}}
	if b.rule != nil {
		p.best = p.at[0]
	}
	return p
}

// down goes one element further.
func (p place) down(e schema.Elem) place {
	next := place{best: p.best}
	for _, f := range p.at {
		if e.Node.Kind != schema.List {
			if to := f.branch.nodes[e.Node]; to != nil {
				next.at = append(next.at, found{to, f.definite})
			}
			continue
		}
		l := f.branch.lists[e.Node]
		if l == nil {
			continue
		}
		if to := l.exact[joined(e.Keys)]; to != nil {
			next.at = append(next.at, found{to, f.definite + len(e.Keys)})
		}
		for _, w := range l.wild {
			if w.matches(e.Keys) {
				next.at = append(next.at, found{w.to, f.definite + w.definite})
			}
		}
	}
	// A longer path wins whatever its keys are.
	var best found
	for _, f := range next.at {
		if f.branch.rule != nil && (best.branch == nil || f.beats(best)) {
			best = f
		}
	}
	if best.branch != nil {
		next.best = best
	}
	return next
}

func (w *wildBranch) matches(keys []string) bool {
	if len(keys) != len(w.keys) {
		return false
	}
	for i, k := range w.keys {
		if k != schema.Wildcard && k != keys[i] {
			return false
		}
	}
	return true
}

// beats orders rules of paths that have one length.
func (f found) beats(o found) bool {
	if f.definite != o.definite {
		return f.definite > o.definite
	}
	return better(f.branch.rule, o.branch.rule)
}

// permits is what the rules say at the place, and which rule it was; "" is none.
func (p place) permits() (ok bool, id string) {
	if p.best.branch == nil {
		return false, ""
	}
	return p.best.branch.rule.permit, p.best.branch.rule.id
}

// open reports whether some rule here or further down permits something.
func (p place) open() bool {
	for _, f := range p.at {
		if f.branch.permits {
			return true
		}
	}
	return false
}

// along goes a whole path.
func (b *branch) along(path schema.Path) place {
	p := b.start()
	for _, e := range path {
		if len(p.at) == 0 {
			return p
		}
		p = p.down(e)
	}
	return p
}

// under goes from the place of an entry to a node that the entry holds.
func (p place) under(n *schema.Node) place {
	if len(p.at) == 0 || n == n.Entry() {
		return p
	}
	return p.under(n.Parent).down(schema.Elem{Node: n})
}

// even reports whether all that an entry holds itself is decided alike.
func (p place) even() bool {
	for _, f := range p.at {
		if len(f.branch.nodes) > 0 {
			return false
		}
	}
	return true
}

// view is what a user may see; it implements schema.View.
type view struct {
	schema *schema.Schema
	read   *branch
}

// Entry implements schema.View.
func (v view) Entry(k schema.EntryKey) (schema.Extent, func(*schema.Node) bool) {
	p := v.read.along(v.schema.Path(k))
	if p.even() {
		if ok, _ := p.permits(); ok {
			return schema.Everything, nil
		}
		return schema.Nothing, nil
	}
	return schema.Part, func(n *schema.Node) bool {
		ok, _ := p.under(n).permits()
		return ok
	}
}
