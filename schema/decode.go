package schema

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"unsafe"

	"github.com/go-json-experiment/json/jsontext"
)

// decoder turns payloads into entries of a txn. Value errors are collected and
// decoding goes on, so that one answer names several; errors of syntax end it.
type decoder struct {
	txn    *txn
	in     *jsontext.Decoder
	faults []*located
	more   int          // faults that are not kept
	cache  []valueCache // by slot
	after  []follower   // by node: the member that followed it last time

	split   split
	parts   *partReader // what in reads; nil: all of one payload
	started []*part
}

// located is an error whose path gets its front part when the key of the entry
// it is in is known.
type located struct {
	err  *ValueError
	done bool
}

// follower is a member as its name is written, with quotes. Entries of a list
// look alike, so the next member is mostly the one that came next before.
type follower struct {
	name string
	node *Node
}

// frame is one entry being decoded.
type frame struct {
	plan     *entryPlan
	p        unsafe.Pointer
	parent   EntryKey
	key      EntryKey // valid if keyed
	keyed    bool
	badKey   bool // a key was there, but it is faulty
	index    int  // position in the array, from 1
	deferred []deferredList
}

// deferredList is a child list that came before the keys of its entry.
type deferredList struct {
	list *Node
	json []byte
}

// errStop ends decoding: there are so many faults that nobody counts on.
var errStop = errors.New("stop")

// takeErrors gives what was collected to t and forgets it.
func (d *decoder) takeErrors(t *txn) {
	for _, f := range d.faults {
		t.fail(f.err)
	}
	t.more += d.more
	d.faults, d.more = nil, 0
}

func (d *decoder) start(data []byte) {
	// Members are checked for duplicates against the schema, where
	// "m:name" and "name" are the same.
	d.parts = nil
	if d.split.others > 0 && len(data) >= d.split.size {
		d.read(&partReader{data: data, split: -1})
		return
	}
	opt := jsontext.AllowDuplicateNames(true)
	if d.in == nil {
		d.in = jsontext.NewDecoder(bytes.NewBuffer(data), opt)
		return
	}
	d.in.Reset(bytes.NewBuffer(data), opt)
}

// end makes sure that nothing follows the value.
func (d *decoder) end() error {
	if _, err := d.in.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("data after the value")
		}
		return err
	}
	return nil
}

// syntax words an error of the JSON itself.
func (d *decoder) syntax(path string, err error) error {
	var se *jsontext.SyntacticError
	at := d.in.InputOffset()
	if errors.As(err, &se) {
		at = se.ByteOffset
		if se.Err != nil {
			err = se.Err
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("it ends too early")
	}
	return &ValueError{Path: path, Reason: "is not valid JSON at octet " + strconv.FormatInt(at, 10) + ": " + err.Error()}
}

// finish turns the outcome of a payload into the error of its edit: faults
// stay where takeErrors finds them.
func (d *decoder) finish(path func() string, err error) error {
	if err == nil {
		err = d.end()
	}
	if err != nil && !errors.Is(err, errStop) {
		return d.syntax(path(), err)
	}
	return nil
}

// object decodes the payload of container or entry n of entry k into a fresh
// struct, and the child lists in it into the txn.
func (d *decoder) object(data []byte, k EntryKey, n *Node) (fresh unsafe.Pointer, members int, err error) {
	plan := n.plan.entry.plan.entryPlan[inConfig]
	f := &frame{plan: plan, p: newStruct(plan.typ), key: k, keyed: true}
	f.parent, _ = k.Parent()
	d.start(data)
	members, err = d.members(f, n)
	d.checkKeys(f)
	d.locate(f, 0)
	err = d.finish(func() string { return d.txn.s.NodeText(k, n) }, err)
	return f.p, members, err
}

// checkKeys compares the keys in the payload with those of the path.
func (d *decoder) checkKeys(f *frame) {
	at := f.key.last()
	if at < 0 {
		return
	}
	f.key[at:].eachValue(func(i int, want string) {
		s := f.plan.keys[i]
		if v, ok := s.get(f.p); ok && !keyIs(v, want) {
			d.fail(f, f.plan.node.Keys[i], v.String(), true, "differs from the key in the path, write "+want+" or leave it out")
		}
	})
}

// list decodes an array of entries into the txn.
func (d *decoder) list(data []byte, parent EntryKey, list *Node) (entries int, err error) {
	d.start(data)
	f := &frame{plan: list.Parent.plan.entry.plan.entryPlan[inConfig], key: parent, keyed: true}
	entries, err = d.entries(f, list)
	d.locate(f, 0)
	return entries, d.finish(func() string { return d.txn.s.NodeText(parent, list) }, err)
}

// leaf decodes the payload of a leaf or leaf-list.
func (d *decoder) leaf(data []byte, at Path, n *Node) (Value, error) {
	d.start(data)
	v, r, reason, err := d.value(n)
	if err == nil {
		err = d.end()
	}
	if err != nil {
		return Value{}, d.syntax(at.String(), err)
	}
	if reason != "" {
		return Value{}, &ValueError{Path: at.String(), Value: n.show(r.show()), Reason: reason}
	}
	return v, nil
}

// members decodes an object into container or entry n of frame f.
func (d *decoder) members(f *frame, n *Node) (count int, err error) {
	if k := d.in.PeekKind(); k != '{' {
		return 0, d.wrongKind(f, n, k, "a JSON object")
	}
	if _, err := d.in.ReadToken(); err != nil {
		return 0, err
	}
	var seen [4]uint64
	var many map[int]bool
	if d.after == nil {
		d.after = make([]follower, d.txn.s.nodes)
	}
	prev := n
	for d.in.PeekKind() != '}' {
		if d.more >= MaxCounted {
			return count, errStop
		}
		name, err := d.in.ReadValue()
		if err != nil {
			return count, err
		}
		count++
		guess := &d.after[prev.plan.id]
		c := guess.node
		if guess.name != string(name) || c.Parent != n {
			if c = lookup(n.plan.accepted, name); c != nil {
				*guess = follower{string(name), c}
			}
		}
		if c == nil || !c.Config {
			if err := d.unknown(f, n, c, name); err != nil {
				return count, err
			}
			continue
		}
		twice := false
		if i := c.plan.order; i < 256 {
			twice = seen[i/64]&(1<<(i%64)) != 0
			seen[i/64] |= 1 << (i % 64)
		} else {
			if many == nil {
				many = map[int]bool{}
			}
			twice, many[i] = many[i], true
		}
		if twice {
			d.fail(f, c, "", false, "occurs twice in one object, write it once")
		}
		if err := d.member(f, c); err != nil {
			return count, err
		}
		prev = c
	}
	_, err = d.in.ReadToken()
	return count, err
}

// lookup finds a member by its quoted name.
func lookup(m map[string]*Node, quoted []byte) *Node {
	if len(quoted) < 2 {
		return nil
	}
	if bytes.IndexByte(quoted, '\\') >= 0 {
		b, err := jsontext.AppendUnquote(nil, quoted)
		if err != nil {
			return nil
		}
		return m[string(b)]
	}
	return m[string(quoted[1:len(quoted)-1])]
}

func (d *decoder) member(f *frame, c *Node) error {
	switch c.Kind {
	case Container:
		if cp := c.plan.cont[inConfig]; c.Presence && cp != nil && d.in.PeekKind() == '{' {
			cp.ensure(f.p)
		}
		_, err := d.members(f, c)
		return err
	case List:
		if c.plan.entryPlan[inConfig] == nil {
			break
		}
		if !f.keyed && f.plan.keyed(f.p) {
			f.key, _ = f.plan.key(f.p, f.parent)
			f.keyed = true
		}
		if !f.keyed {
			v, err := d.in.ReadValue()
			if err == nil {
				f.deferred = append(f.deferred, deferredList{c, v.Clone()})
			}
			return err
		}
		_, err := d.entries(f, c)
		return err
	default:
		if s := c.plan.slot[inConfig]; s != nil {
			return d.slot(f, c, s)
		}
	}
	if err := d.in.SkipValue(); err != nil {
		return err
	}
	d.fail(f, c, "", false, "is not part of the configuration")
	return nil
}

// entries decodes the array of a list below the entry of f.
func (d *decoder) entries(f *frame, list *Node) (count int, err error) {
	if k := d.in.PeekKind(); k != '[' {
		return 0, d.wrongKind(f, list, k, "a JSON array of entries")
	}
	if _, err := d.in.ReadToken(); err != nil {
		return 0, err
	}
	plan := list.plan.entryPlan[inConfig]
	var other *part
	for ; ; count++ {
		if count == sample {
			other = d.share(f, list)
		}
		if other != nil && int(d.in.InputOffset())+d.parts.moved == d.parts.split {
			n, err := d.join(other)
			if count += n; err != nil {
				return count, err
			}
			other = nil
		}
		if d.in.PeekKind() == ']' {
			break
		}
		if d.more >= MaxCounted {
			return count, errStop
		}
		e := frame{plan: plan, p: newStruct(plan.typ), parent: f.key, index: count + 1}
		from := len(d.faults)
		_, err := d.members(&e, list)
		if err == nil {
			err = d.place(&e)
		}
		d.locate(&e, from)
		if err != nil {
			return count, err
		}
	}
	_, err = d.in.ReadToken()
	return count, err
}

// place puts a decoded entry into the txn.
func (d *decoder) place(f *frame) error {
	if !f.keyed {
		k, missing := f.plan.key(f.p, f.parent)
		if missing != nil && f.badKey {
			return nil
		}
		if missing != nil {
			d.fail(f, missing, "", false, "the key is missing")
			return nil
		}
		f.key, f.keyed = k, true
	}
	t := d.txn
	pd := t.touch(f.key)
	if pd.number == t.number {
		d.fail(f, f.plan.node, "", false, "the payload has two entries with this key, write one")
		return nil
	}
	pd.number = t.number
	t.put(pd, f.p)
	if len(f.deferred) == 0 {
		return nil
	}
	outer := d.in
	defer func() { d.in = outer }()
	for _, l := range f.deferred {
		d.in = nil
		d.start(l.json)
		if _, err := d.entries(f, l.list); err != nil {
			return err
		}
	}
	return nil
}

// slot decodes a leaf into the frame's struct.
func (d *decoder) slot(f *frame, n *Node, s *slot) error {
	if s.key >= 0 {
		return d.keySlot(f, n, s)
	}
	text, plain, err := d.peekRaw(n)
	if err != nil {
		return err
	}
	if plain {
		cache, seen := d.cacheOf(s), unsafe.String(unsafe.SliceData(text), len(text))
		if c, ok := cache.get(seen); ok {
			s.store(s.field(f.p), c)
			return nil
		}
		v, r, reason := decodeValue(n, text)
		if reason != "" {
			d.fail(f, n, r.show(), false, reason)
			return nil
		}
		if v.kind == KindList && len(v.list) == 0 {
			return nil
		}
		c := s.cell(v)
		cache.put(seen, c)
		s.store(s.field(f.p), c)
		return nil
	}
	return d.misfit(f, n, text)
}

// misfit reports JSON of a kind that a leaf cannot take.
func (d *decoder) misfit(f *frame, n *Node, text []byte) error {
	k := jsontext.Value(text).Kind()
	d.fail(f, n, shorten(string(text), false), false, "want "+wantKind(n)+", got "+kindName(k)+nullHint(k))
	return nil
}

// keySlot decodes a key, which may come twice: beside the containers and in
// config.
func (d *decoder) keySlot(f *frame, n *Node, s *slot) error {
	text, plain, err := d.peekRaw(n)
	if err != nil {
		return err
	}
	if !plain {
		f.badKey = true
		return d.misfit(f, n, text)
	}
	at := s.field(f.p)
	set := s.isSet(at)
	if set && s.kind == fString && len(text) >= 2 && string(text[1:len(text)-1]) == **(**string)(at) {
		return nil
	}
	v, r, reason := decodeValue(n, text)
	if reason != "" {
		f.badKey = true
		d.fail(f, n, r.show(), false, reason)
		return nil
	}
	if v.String() == Wildcard {
		f.badKey = true
		d.fail(f, n, r.show(), false, "it stands for all entries in a path: no entry can have it as its key")
		return nil
	}
	if set {
		if old, _ := s.load(at); !old.Equal(v) {
			d.fail(f, n, r.show(), false, "the entry has this key twice, with "+old.String()+" before: make them equal")
			return nil
		}
		return nil
	}
	s.store(at, s.cell(v))
	return nil
}

// fail collects a fault, or counts it when there are enough. Decoding goes on.
func (d *decoder) fail(f *frame, n *Node, value string, quote bool, reason string) {
	if len(d.faults) >= MaxErrors {
		d.more++
		return
	}
	if quote {
		value = shorten(value, true)
	}
	rel := ""
	if n != f.plan.node {
		rel = n.relative(f.plan.node)
	}
	d.faults = append(d.faults, &located{err: &ValueError{Path: rel, Value: n.show(value), Reason: reason}})
}

// locate completes the paths of the faults since from.
func (d *decoder) locate(f *frame, from int) {
	for _, l := range d.faults[from:] {
		if l.done {
			continue
		}
		l.done = true
		front := ""
		switch {
		case f.keyed:
			front = d.txn.s.text(f.key, f.plan.node)
		case f.plan.keyed(f.p):
			k, _ := f.plan.key(f.p, f.parent)
			front = d.txn.s.text(k, f.plan.node)
		default:
			front = d.txn.s.text(f.parent, f.plan.node)
			l.err.Reason += " (entry " + strconv.Itoa(f.index) + " of the list)"
		}
		if l.err.Path = front + l.err.Path; l.err.Path == "" {
			l.err.Path = "/"
		}
	}
}

// unknown reports a member that cannot be there and skips it.
func (d *decoder) unknown(f *frame, n, c *Node, quoted []byte) error {
	name, err := jsontext.AppendUnquote(nil, quoted)
	if err != nil {
		return err
	}
	shown := shorten(string(name), false)
	if err := d.in.SkipValue(); err != nil {
		return err
	}
	if c != nil {
		d.fail(f, c, "", false, "is state (config false) and cannot be written, leave it out")
		return nil
	}
	reason := "has no member " + shown + ", it takes " + configNames(n)
	if i := bytes.IndexByte(name, ':'); i > 0 && n.Child(string(name[i+1:])) != nil {
		reason = "member " + shown + ": the module is " + n.Child(string(name[i+1:])).Module
	}
	d.fail(f, n, "", false, reason)
	return nil
}

func configNames(n *Node) string {
	out := ""
	for _, c := range n.Children {
		if c.Config {
			if out != "" {
				out += ", "
			}
			out += c.Name
		}
	}
	return out
}

// wrongKind reports a value that is no object or array and skips it.
func (d *decoder) wrongKind(f *frame, n *Node, k jsontext.Kind, want string) error {
	v, err := d.in.ReadValue()
	if err != nil {
		return err
	}
	d.fail(f, n, shorten(string(v), false), false, "want "+want+", got "+kindName(k)+nullHint(k))
	return nil
}

func nullHint(k jsontext.Kind) string {
	if k == 'n' {
		return "; to unset it send a delete"
	}
	return ""
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "nothing"
}

// DecodeEntry decodes the own content of one configuration entry as
// EncodeEntry wrote it: no child lists. The keys may be absent from data;
// leaves with their default become unset.
func (s *Schema) DecodeEntry(k EntryKey, data []byte) (GoStruct, error) {
	n := s.nodeOf(k)
	if n == nil || n.plan.entryPlan[inConfig] == nil {
		return nil, &PathError{Path: k.String(), Code: NotFound, Reason: "is no configuration entry"}
	}
	t := &txn{s: s, base: Entries{}, number: 1}
	t.dec.txn = t
	fresh, _, err := t.dec.object(data, k, n)
	t.dec.takeErrors(t)
	if err != nil {
		t.fail(err)
	}
	if err := t.failed(); err != nil {
		return nil, err
	}
	if t.pend.Len() > 0 {
		return nil, &ValueError{Path: s.Text(k), Reason: "holds child lists, which are entries of their own"}
	}
	plan := n.plan.entryPlan[inConfig]
	plan.fillKeys(fresh, k)
	plan.dropDefaults(fresh)
	plan.prune(fresh)
	return structAt(plan.typ, fresh), nil
}
