package schema

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/tidwall/btree"

	"heddle/gen/config"
	"heddle/gen/state"
)

// btreeTree is a Tree as the datastore has it.
type btreeTree struct{ m btree.Map[EntryKey, GoStruct] }

func (b *btreeTree) Get(k EntryKey) (GoStruct, bool) { return b.m.Get(k) }

func (b *btreeTree) Scan(prefix EntryKey, fn func(EntryKey, GoStruct) bool) {
	b.m.Ascend(prefix, func(k EntryKey, g GoStruct) bool { return k.Under(prefix) && fn(k, g) })
}

func (b *btreeTree) Ascend(from EntryKey, fn func(EntryKey, GoStruct) bool) { b.m.Ascend(from, fn) }

func (b *btreeTree) Len() int { return b.m.Len() }

func (b *btreeTree) KeyAt(i int) EntryKey {
	k, _, _ := b.m.GetAt(i)
	return k
}

func (b *btreeTree) put(changes []Change) {
	for _, c := range changes {
		if c.New == nil {
			b.m.Delete(c.Key)
		} else {
			b.m.Set(c.Key, c.New)
		}
	}
}

func heddleSchema(t testing.TB) *Schema {
	t.Helper()
	s, err := Heddle()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const sidsPath = "/network-instances/network-instance[name=DEFAULT]/segment-routing/srv6/sids"

func mustPath(t testing.TB, s *Schema, text string) Path {
	t.Helper()
	p, err := s.ParsePath(text)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// sidsJSON is a payload for sidsPath: n End.X SIDs.
func sidsJSON(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"heddle-srv6:sid":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		addr := fmt.Sprintf("2001:db8:0:%x:%x::", 0x1000+(i>>12), i&0xfff)
		fmt.Fprintf(&b, `{"address":"%s","config":{"address":"%s","behavior":"heddle-srv6:END_X","interface":"eth%d",`+
			`"next-hop":"fe80::%x","network-instance":"DEFAULT","description":"adjacency","standalone":true}}`, addr, addr, i%16, 1+i%64)
	}
	b.WriteString(`]}`)
	return b.Bytes()
}

func apply(t testing.TB, s *Schema, tr Tree, edits ...Edit) []Change {
	t.Helper()
	ch, err := s.Apply(tr, edits)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// sidTree is a tree with n SIDs.
func sidTree(t testing.TB, s *Schema, n int) *btreeTree {
	tr := &btreeTree{}
	tr.put(apply(t, s, tr, Edit{Op: Replace, Path: mustPath(t, s, sidsPath), JSON: sidsJSON(n), Encoding: JSONIETF}))
	return tr
}

func BenchmarkDecode100k(b *testing.B) {
	s := heddleSchema(b)
	data := sidsJSON(100_000)
	p := mustPath(b, s, sidsPath)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if ch := apply(b, s, &btreeTree{}, Edit{Op: Replace, Path: p, JSON: data}); len(ch) != 100_001 {
			b.Fatal(len(ch))
		}
	}
}

// BenchmarkReplace100kSame is a replace with 0.1 % of the entries different.
func BenchmarkReplace100kSame(b *testing.B) {
	s := heddleSchema(b)
	tr := sidTree(b, s, 100_000)
	data := sidsJSON(100_000)
	n := 0
	for i := 0; i < len(data); i++ {
		at := bytes.Index(data[i:], []byte(`"adjacency"`))
		if at < 0 {
			break
		}
		i += at
		if n++; n%1000 == 0 {
			data[i+1] = 'A'
		}
	}
	p := mustPath(b, s, sidsPath)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if ch := apply(b, s, tr, Edit{Op: Replace, Path: p, JSON: data}); len(ch) != 100 {
			b.Fatal(len(ch))
		}
	}
}

func BenchmarkUpdateOneLeaf(b *testing.B) {
	s := heddleSchema(b)
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			tr := sidTree(b, s, n)
			p := mustPath(b, s, firstSID(s, tr)+"/config/description")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				i++
				ch := apply(b, s, tr, Edit{Op: Update, Path: p, Scalar: StringValue(fmt.Sprint(i))})
				if len(ch) != 1 {
					b.Fatal(len(ch))
				}
			}
		})
	}
}

func firstSID(s *Schema, tr Tree) string {
	var text string
	tr.Scan("", func(k EntryKey, _ GoStruct) bool {
		text = s.Text(k)
		return s.Node(k).Name != "sid"
	})
	return text
}

func BenchmarkEncode100k(b *testing.B) {
	s := heddleSchema(b)
	tr := sidTree(b, s, 100_000)
	var size countWriter
	if _, err := s.EncodeJSON(&size, []Tree{tr}, nil, EncodeOptions{Encoding: JSONIETF}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.EncodeJSON(io.Discard, []Tree{tr}, nil, EncodeOptions{Encoding: JSONIETF}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode100kTwoTrees merges configuration with an (empty) state tree.
func BenchmarkEncode100kTwoTrees(b *testing.B) {
	s := heddleSchema(b)
	tr := sidTree(b, s, 100_000)
	var size countWriter
	trees := []Tree{tr, &btreeTree{}}
	if _, err := s.EncodeJSON(&size, trees, nil, EncodeOptions{Encoding: JSONIETF}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	for b.Loop() {
		if _, err := s.EncodeJSON(io.Discard, trees, nil, EncodeOptions{Encoding: JSONIETF}); err != nil {
			b.Fatal(err)
		}
	}
}

// heapBuffers are Buffers in a pool, as the server has them.
type heapBuffers struct{ sync.Pool }

func (h *heapBuffers) Get() []byte {
	if b, ok := h.Pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, ChunkSize)
}

func (h *heapBuffers) Put(b []byte) { h.Pool.Put(&b) }

// BenchmarkEncodeState100k writes configuration and state, as a Get of everything
// does: by one, by two, and from a draft that is as it should be.
func BenchmarkEncodeState100k(b *testing.B) {
	s := heddleSchema(b)
	trees := []Tree{sidTree(b, s, 100_000), sidStateTree(b, s, 100_000)}
	o := EncodeOptions{Encoding: JSONIETF, Defaults: true}
	buffers := &heapBuffers{}
	for name, encode := range map[string]func(b *testing.B) ([][]byte, bool, error){
		"workers=1": func(*testing.B) ([][]byte, bool, error) { return s.EncodeChunks(trees, nil, o, 1, buffers) },
		"workers=2": func(*testing.B) ([][]byte, bool, error) { return s.EncodeChunks(trees, nil, o, 2, buffers) },
		"drafted": func(b *testing.B) ([][]byte, bool, error) {
			b.StopTimer()
			d := s.Draft(trees, nil, o, buffers)
			<-d.done
			now := []Tree{trees[0], &btreeTree{m: *trees[1].(*btreeTree).m.Copy()}} // another tree of the same
			b.StartTimer()
			return d.Finish(now, 2)
		},
	} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for range b.N {
				doc, _, err := encode(b)
				if err != nil {
					b.Fatal(err)
				}
				size = 0
				for _, c := range doc {
					size += len(c)
				}
				free(buffers, doc)
			}
			b.SetBytes(int64(size))
		})
	}
}

// sidStateTree is the state of sidTree's SIDs.
func sidStateTree(t testing.TB, s *Schema, n int) *btreeTree {
	tr := &btreeTree{}
	yes, zero := true, uint64(0)
	sidTree(t, s, n).m.Scan(func(k EntryKey, g GoStruct) bool {
		if e, ok := g.(*config.NetworkInstance_SegmentRouting_Srv6_Sid); ok {
			tr.m.Set(k, &state.NetworkInstance_SegmentRouting_Srv6_Sid{
				Address: e.Address, Behavior: state.E_HeddleSrv6_SRV6_ENDPOINT_BEHAVIOR(e.Behavior), Description: e.Description,
				Interface: e.Interface, NextHop: e.NextHop, Programmed: &yes, Standalone: &yes,
				Counters: &state.NetworkInstance_SegmentRouting_Srv6_Sid_Counters{Errors: &zero, Octets: &zero, Packets: &zero},
			})
		}
		return true
	})
	return tr
}

type countWriter int

func (c *countWriter) Write(p []byte) (int, error) { *c += countWriter(len(p)); return len(p), nil }

func BenchmarkValidateEntry(b *testing.B) {
	s := heddleSchema(b)
	tr := sidTree(b, s, 1)
	k := mustPath(b, s, firstSID(s, tr)).Entry()
	g, _ := tr.Get(k)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Validate(k, g); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDiffLeaves(b *testing.B) {
	s := heddleSchema(b)
	tr := sidTree(b, s, 10)
	p := mustPath(b, s, firstSID(s, tr)+"/config/description")
	ch := apply(b, s, tr, Edit{Op: Update, Path: p, Scalar: StringValue("other")})
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		s.Diff(ch[0], LeafOptions{}, func(Delta) bool { n++; return true })
		if n != 1 {
			b.Fatal(n)
		}
	}
}

func BenchmarkResolve(b *testing.B) {
	s := heddleSchema(b)
	elems, err := ParseElems(sidsPath + "/sid[address=2001:db8::1]/config/behavior")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Resolve(elems); err != nil {
			b.Fatal(err)
		}
	}
}
