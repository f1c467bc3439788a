package schema

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
)

// docGen makes random configuration documents for a schema, as RFC 7951 JSON
// in canonical form. Generators of the models under test know nothing of the
// codec.
type docGen struct {
	*rand.Rand
	plain bool // without module names
	depth int
	// noUnionBool leaves out booleans in unions, which ygot's Validate refuses.
	noUnionBool bool
}

func newDocGen(seed uint64) *docGen { return &docGen{Rand: rand.New(rand.NewPCG(seed, 1)), depth: 3} }

func (g *docGen) name(n *Node, top bool) string {
	if !g.plain && (top || n.Module != n.Parent.Module || n.Parent.Parent == nil) {
		return n.Module + ":" + n.Name
	}
	return n.Name
}

// object fills container or entry n. keys are given for entries.
func (g *docGen) object(n *Node, keys map[string]any) map[string]any {
	out := map[string]any{}
	branch := map[*choice]string{}
	for _, c := range n.Children {
		if !c.Config {
			continue
		}
		skip := false
		for _, cs := range c.plan.cases {
			if b, ok := branch[cs.choice]; ok && b != cs.branch {
				skip = true
			}
			branch[cs.choice] = cs.branch
		}
		if skip {
			continue
		}
		switch {
		case keys != nil && c.plan.isKey:
			out[g.name(c, false)] = keys[c.Name]
		case c.IsLeaf():
			if g.IntN(3) > 0 {
				out[g.name(c, false)] = g.leaf(c)
			}
		case c.Kind == Container:
			var inner map[string]any
			if keys != nil && (c.Name == "config") {
				inner = g.object(c, nil)
				for k, v := range keys {
					inner[k] = v
				}
			} else if g.IntN(4) > 0 {
				inner = g.object(c, nil)
			}
			if len(inner) > 0 || inner != nil && c.Presence {
				out[g.name(c, false)] = inner
			}
		default:
			if list := g.list(c); len(list) > 0 {
				out[g.name(c, false)] = list
			}
		}
	}
	return out
}

func (g *docGen) list(n *Node) []any {
	if g.depth == 0 {
		return nil
	}
	g.depth--
	defer func() { g.depth++ }()
	seen := map[string]bool{}
	var out []any
	for range g.IntN(4) {
		keys := map[string]any{}
		for _, k := range n.Keys {
			keys[k.Name] = g.value(k.Type)
		}
		if id := fmt.Sprint(keys); !seen[id] {
			seen[id] = true
			out = append(out, g.object(n, keys))
		}
	}
	return out
}

func (g *docGen) leaf(n *Node) any {
	if n.Kind == Leaf {
		return g.value(n.Type)
	}
	seen := map[string]bool{}
	out := []any{}
	for range 1 + g.IntN(3) {
		v := g.value(n.Type)
		if id := fmt.Sprintf("%T%v", v, v); !seen[id] {
			seen[id] = true
			out = append(out, v)
		}
	}
	return out
}

// value is a random canonical value of a type.
func (g *docGen) value(t *Type) any {
	switch t.kind {
	case tString:
		return g.text(t)
	case tUint, tInt, tDecimal:
		r := t.ranges[g.IntN(len(t.ranges))]
		u := r.min
		if span := r.max - r.min; span > 0 && g.IntN(4) > 0 {
			u += g.Uint64N(min(span, 1<<40))
		} else if g.IntN(2) == 0 {
			u = r.max
		}
		switch {
		case t.kind == tDecimal && g.plain:
			return json.Number(decimalText(int64(u%1_000_000)|1, t.frac))
		case t.kind == tDecimal:
			return decimalText(int64(u%1_000_000)|1, t.frac) // ygot writes 7.0 as 7
		case t.kind == tUint && t.bits == 64 && !g.plain:
			return fmt.Sprint(u)
		case t.kind == tUint:
			return json.Number(fmt.Sprint(u))
		case t.bits == 64 && !g.plain:
			return fmt.Sprint(int64(u))
		}
		return json.Number(fmt.Sprint(int64(u)))
	case tBool:
		return g.IntN(2) == 0
	case tEnum, tIdentity:
		names := sortedNames(t)
		v := t.names[names[g.IntN(len(names))]]
		if v.mod != "" && !g.plain {
			return v.mod + ":" + v.str
		}
		return v.str
	case tBinary:
		b := make([]byte, 1+g.IntN(8))
		for i := range b {
			b[i] = byte(g.IntN(256))
		}
		return base64.StdEncoding.EncodeToString(b)
	case tEmpty:
		return []any{nil}
	case tUnion:
		for {
			if m := t.members[g.IntN(len(t.members))]; m.kind != tBool || !g.noUnionBool {
				return g.value(m)
			}
		}
	}
	return nil
}

func sortedNames(t *Type) []string {
	var names []string
	for n := range t.names {
		names = append(names, n)
	}
	for i := range names {
		for j := i; j > 0 && names[j] < names[j-1]; j-- {
			names[j], names[j-1] = names[j-1], names[j]
		}
	}
	return names
}

// text is a random string that fits the patterns of the models under test.
func (g *docGen) text(t *Type) string {
	switch {
	case strings.HasPrefix(t.Typedef, "ipv4-address"):
		return fmt.Sprintf("192.0.2.%d", g.IntN(256))
	case strings.HasPrefix(t.Typedef, "ipv6-address"):
		return fmt.Sprintf("2001:db8::%x", 1+g.IntN(0xfffe))
	case t.Typedef == "ipv4-prefix":
		return fmt.Sprintf("10.%d.0.0/16", g.IntN(256))
	case t.Typedef == "ipv6-prefix":
		return fmt.Sprintf("2001:db8:%x::/48", 1+g.IntN(0xfffe))
	case t.Typedef == "mac-address":
		return fmt.Sprintf("02:00:5e:00:53:%02x", g.IntN(256))
	}
	candidates := []string{
		fmt.Sprintf("ab-%02d", g.IntN(100)), fmt.Sprintf("n%d", g.IntN(30)), "eth0", "blue",
		"white space", `quote " and \ and ] and /`, "Gr\u00fc\u00dfe \u6c34 \U0001f600", "tab\tstop", "<&>", "",
	}
	for {
		s := candidates[g.IntN(len(candidates))]
		if _, f := t.parse(&raw{form: fText, text: s}); f == fits {
			return s
		}
	}
}
