package cli

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
)

// A path that is read and written again is the same path.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"/", "", "/a/b[c=d]/e", `/a[k=x\]y][l=\\]`, "/a[k=2001:db8::/32]", "/a[k=b=c]", "a", "/a[", "//", "/a/", "/a[k]", "/a[k=v]b", `/a\/b`, `/a[k=v][k=w]`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePath(s)
		if err != nil {
			if bad := new(usageError); !errors.As(err, &bad) {
				t.Errorf("%v is no usage error", err)
			}
			return
		}
		q, err := parsePath(text(nil, p))
		if err != nil || !proto.Equal(p, q) {
			t.Errorf("%q: read %v, written %q, read again %v, %v", s, p, text(nil, p), q, err)
		}
	})
}

func TestSplitPath(t *testing.T) {
	for arg, want := range map[string][2]string{
		`/a[k=v]/b=1`:     {`/a[k=v]/b`, `1`},
		`/a="x=y"`:        {`/a`, `"x=y"`},
		`/a[k=v\]=]/b={}`: {`/a[k=v\]=]/b`, `{}`},
		`/=-`:             {`/`, `-`},
		`/a[k=v]`:         {``, ``},
	} {
		p, v, ok := splitPath(arg)
		if p != want[0] || v != want[1] || ok != (want[0] != "") {
			t.Errorf("%s: %q %q %v", arg, p, v, ok)
		}
	}
}
