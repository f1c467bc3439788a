package schema

import (
	"bytes"
	"strings"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// valueCache holds the values of one leaf by the text they were given as, so that
// a value that comes again is neither parsed nor allocated again.
type valueCache struct {
	cells  map[string]cell
	misses int
	off    bool
}

// cacheSize bounds a valueCache. A leaf with that many different values, and
// few that repeat, is not looked up any more.
const cacheSize = 1024

// get looks a text up.
func (vc *valueCache) get(text string) (cell, bool) {
	if vc.cells == nil {
		return cell{}, false
	}
	c, ok := vc.cells[text]
	if !ok {
		if vc.misses++; vc.misses > 4*cacheSize {
			vc.cells, vc.off = nil, true
		}
	} else {
		vc.misses -= min(vc.misses, 2)
	}
	return c, ok
}

// put notes what a text came to, unless it is long. The text may change afterwards.
func (vc *valueCache) put(text string, c cell) {
	if len(text) > 512 || vc.off {
		return
	}
	if vc.cells == nil {
		vc.cells = map[string]cell{}
	}
	if len(vc.cells) < cacheSize {
		vc.cells[strings.Clone(text)] = c
	}
}

// cacheOf is the cache of a slot.
func (d *decoder) cacheOf(s *slot) *valueCache {
	if d.cache == nil {
		d.cache = make([]valueCache, d.txn.s.slots)
	}
	return &d.cache[s.id]
}

// peekRaw reads the JSON of a leaf or leaf-list. plain is false if its kind
// cannot be right.
func (d *decoder) peekRaw(n *Node) (text []byte, plain bool, err error) {
	k := d.in.PeekKind()
	text, err = d.in.ReadValue()
	if err != nil {
		return nil, false, err
	}
	if n.Kind == LeafList {
		return text, k == '[', nil
	}
	return text, k == '"' || k == '0' || k == 't' || k == 'f' || k == '[' && n.Type.takesEmpty(), nil
}

// takesEmpty reports whether [null] may be a value.
func (t *Type) takesEmpty() bool {
	if t.kind == tEmpty {
		return true
	}
	for _, m := range t.members {
		if m.kind == tEmpty {
			return true
		}
	}
	return false
}

func wantKind(n *Node) string {
	if n.Kind == LeafList {
		return "a JSON array, each value " + n.Type.String()
	}
	return n.Type.wantForm(&raw{form: fJSONNumber})
}

// value decodes the next JSON value as leaf or leaf-list n. A reason says why
// it does not fit, for r.
func (d *decoder) value(n *Node) (v Value, r raw, reason string, err error) {
	text, plain, err := d.peekRaw(n)
	if err != nil {
		return Value{}, raw{}, "", err
	}
	if !plain {
		k := jsontext.Value(text).Kind()
		return Value{}, raw{form: fJSONNumber, text: string(text)}, "want " + wantKind(n) + ", got " + kindName(k) + nullHint(k), nil
	}
	v, r, reason = decodeValue(n, text)
	return v, r, reason, nil
}

// decodeValue parses JSON that is syntactically right: a scalar, or an array.
func decodeValue(n *Node, text []byte) (Value, raw, string) {
	if n.Kind == Leaf {
		return n.Type.decodeScalar(text)
	}
	var list []Value
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	if _, err := d.ReadToken(); err != nil {
		return Value{}, raw{}, err.Error()
	}
	for d.PeekKind() != ']' {
		e, err := d.ReadValue()
		if err != nil {
			return Value{}, raw{}, err.Error()
		}
		v, r, reason := n.Type.decodeScalar(e)
		if reason != "" {
			return Value{}, r, reason
		}
		list = append(list, v)
	}
	if i := repeated(list); i >= 0 {
		return Value{}, raw{form: fScalar, value: list[i]}, "occurs twice in the leaf-list, give each value once"
	}
	return ListValue(list), raw{}, ""
}

// decodeScalar parses one JSON scalar, or [null].
func (t *Type) decodeScalar(text []byte) (Value, raw, string) {
	r := raw{shared: true}
	switch jsontext.Value(text).Kind() {
	case '"':
		r.form = fJSONString
		if bytes.IndexByte(text, '\\') < 0 {
			r.text = unsafe.String(unsafe.SliceData(text[1:]), len(text)-2)
			break
		}
		b, err := jsontext.AppendUnquote(nil, text)
		if err != nil {
			return Value{}, r, err.Error()
		}
		r.text, r.shared = string(b), false
	case '0':
		r.form = fJSONNumber
		r.text = unsafe.String(unsafe.SliceData(text), len(text))
	case 't', 'f':
		r.form = fJSONBool
		r.text = unsafe.String(unsafe.SliceData(text), len(text))
	case '[':
		r.text, r.shared = string(text), false
		if r.form = fJSONNumber; isNullArray(text) {
			r.form = fJSONEmpty
		} else {
			return Value{}, r, "want " + t.wantForm(&r) + ", got an array"
		}
	default:
		k := jsontext.Value(text).Kind()
		r.form, r.text = fJSONNumber, string(text)
		return Value{}, r, "want " + t.wantForm(&r) + ", got " + kindName(k) + nullHint(k)
	}
	v, f := t.parse(&r)
	if f != fits {
		return Value{}, r, t.explain(&r, f)
	}
	return v, r, ""
}

func isNullArray(text []byte) bool {
	v := jsontext.Value(bytes.Clone(text))
	return v.Compact() == nil && string(v) == "[null]"
}
