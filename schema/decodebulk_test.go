package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// staticsJSON is n static routes, of which each has a list of its own inside; the
// i-th one is what odd makes of it, where that is not "".
func staticsJSON(n int, odd func(i int) string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"static-routes":{"static":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if s := odd(i); s != "" {
			b.WriteString(s)
			continue
		}
		fmt.Fprintf(&b, `{"prefix":"2001:db8:%[1]x:%[2]x::/64","config":{"prefix":"2001:db8:%[1]x:%[2]x::/64"},"next-hops":{"next-hop":[`+
			`{"index":"0","config":{"index":"0","metric":%[2]d}},{"index":"1","config":{"index":"1","next-hop":"2001:db8::%[2]x"}}]}}`, i>>12, i&0xfff)
	}
	b.WriteString(`]},"config":{"identifier":"STATIC","name":"s"}}`)
	return b.Bytes()
}

func TestDecodeInParts(t *testing.T) {
	s := heddleSchema(t)
	const routes, size = 2000, 64 << 10
	at := func(k int, text string) func(int) string {
		return func(i int) string {
			if i == k {
				return text
			}
			return ""
		}
	}
	plain := staticsJSON(routes, at(-1, ""))
	var indented bytes.Buffer
	if err := json.Indent(&indented, plain, "", "  "); err != nil {
		t.Fatal(err)
	}
	// A string that looks like the beginning of an entry.
	trap := strings.Repeat(`,{\"prefix\":`, size/8)
	tests := map[string]struct {
		doc   []byte
		parts bool // it is decoded in parts
	}{
		"plain":             {plain, true},
		"indented":          {indented.Bytes(), true},
		"trap in a string":  {staticsJSON(routes, at(routes/2, `{"prefix":"::/1","config":{"prefix":"::/1","description":"`+trap+`"}}`)), true},
		"trap, real":        {staticsJSON(routes, at(routes/2, `{"prefix":"::/1","next-hops":{"next-hop":[{"index":"a"}`+strings.Repeat(`,{"prefix":"x"}`, size/8)+`]}}`)), false},
		"fault behind":      {staticsJSON(routes, at(routes-3, `{"prefix":"nonsense"}`)), false},
		"faults everywhere": {staticsJSON(routes, func(i int) string { return map[bool]string{true: `{"prefix":"nonsense"}`}[i%997 == 0] }), false},
		"key twice":         {staticsJSON(routes, at(routes-3, `{"prefix":"2001:db8:0:1::/64"}`)), false},
		"unknown member":    {staticsJSON(routes, at(routes-3, `{"prefix":"::/1","x":1}`)), false},
		"cut short":         {plain[:len(plain)-100], false},
		"syntax":            {staticsJSON(routes, at(routes-3, `{"prefix":"::/1"]`)), false},
		"more behind":       {append(bytes.Clone(plain), '1'), false},
	}
	p := mustPath(t, s, "/network-instances/network-instance[name=DEFAULT]/protocols/protocol[identifier=STATIC][name=s]")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(test.doc)
			edits := []Edit{{Op: Replace, Path: p, JSON: test.doc, Encoding: JSONIETF}}
			want, wantErr := s.apply(&btreeTree{}, edits, split{})
			for others := 1; others < 4; others++ {
				got, err := s.apply(&btreeTree{}, edits, split{others, size})
				if test.parts != (err == nil) {
					t.Fatalf("%d more decoders: %v", others, err)
				}
				if err == nil && !reflect.DeepEqual(got, want) {
					t.Fatalf("%d more decoders: %d changes, want %d, or others", others, len(got), len(want))
				}
			}
			if test.parts != (wantErr == nil) && !strings.HasPrefix(name, "trap") {
				t.Errorf("alone: %v", wantErr)
			}
			if !bytes.Equal(before, test.doc) {
				t.Error("the payload was written to")
			}
		})
	}
}

// What decoding in parts does not get done, one decoder does, in the same words.
func TestDecodeInPartsFallsBack(t *testing.T) {
	s := heddleSchema(t)
	p := mustPath(t, s, sidsPath)
	good := sidsJSON(10_000)
	if len(good) < 2*bulkSize {
		t.Fatalf("%d octets are not decoded in parts", len(good))
	}
	for _, doc := range [][]byte{good, bytes.Replace(good, []byte("fe80::40"), []byte("fe80::xx"), 1), good[:len(good)-9]} {
		edits := []Edit{{Op: Replace, Path: p, JSON: doc, Encoding: JSONIETF}}
		want, wantErr := s.apply(&btreeTree{}, edits, split{})
		got, err := s.Apply(&btreeTree{}, edits)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
			t.Errorf("got %d changes, %v; want %d, %v", len(got), err, len(want), wantErr)
		}
	}
}

// A list that is decoded in parts meets what edits before it have left.
func TestDecodeInPartsAfterEdits(t *testing.T) {
	s := heddleSchema(t)
	sids := mustPath(t, s, sidsPath)
	one := mustPath(t, s, sidsPath+"/sid[address=2001:db8:0:1000:5::]/config/description")
	edits := []Edit{
		{Op: Update, Path: one, Scalar: StringValue("before")},
		{Op: Update, Path: sids, JSON: sidsJSON(10_000), Encoding: JSONIETF},
		{Op: Update, Path: one, Scalar: StringValue("after")},
	}
	want, err := s.apply(&btreeTree{}, edits, split{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := s.Apply(&btreeTree{}, edits)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %d changes, want %d, or others; %v", len(got), len(want), err)
	}
}

// TestGuess looks for the next entry from everywhere in an array whose entries
// repeat their key further in: every guess but those behind the last is right.
func TestGuess(t *testing.T) {
	const entry = `{"sid": "a", "config" : {"sid": "a", "list": [{"sid": "b"}]}}`
	data := []byte("[" + strings.Repeat(entry+" ,\n", 5) + entry + "]")
	first := 1 + len(entry)
	last := bytes.LastIndex(data, []byte("\n"+entry))
	for from := first; from < len(data); from++ {
		at := guess(data, first, from)
		if from >= last {
			if at >= 0 {
				t.Errorf("from %d: an entry behind the last, at %d", from, at)
			}
			continue
		}
		if at < from || data[at] != ',' || !bytes.HasPrefix(data[at:], []byte(",\n"+entry)) || at-from > len(entry)+3 {
			t.Errorf("from %d: %d", from, at)
		}
	}
}
