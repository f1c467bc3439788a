package datastore

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"
	"testing/iotest"
)

// FuzzIndent compares with encoding/json, octet by octet and in one piece.
func FuzzIndent(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `{"a":{},"b":[],"c":[{"d":1},{"e":"f"}],"g":[1,2,[]]}`,
		`"a\"b,{[\\"`, `{"\\":"\\\\\"","x":[[[[null]]]]}`, `12`, `true`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var want, compact bytes.Buffer
		if !json.Valid(in) || json.Compact(&compact, in) != nil || json.Indent(&want, compact.Bytes(), "", "  ") != nil {
			return
		}
		for name, r := range map[string]io.Reader{
			"whole":  bytes.NewReader(compact.Bytes()),
			"octets": iotest.OneByteReader(bytes.NewReader(compact.Bytes())),
		} {
			var got bytes.Buffer
			i := &indenter{w: &got}
			if _, err := io.Copy(struct{ io.Writer }{i}, struct{ io.Reader }{r}); err != nil {
				t.Fatal(err)
			}
			if err := i.flush(); err != nil {
				t.Fatal(err)
			}
			if got.String() != want.String() {
				t.Errorf("%s: got %s\nwant %s", name, &got, &want)
			}
		}
	})
}
