package access

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
	"google.golang.org/grpc/metadata"
)

// A file that cannot be read, or is not what it should be, opens nothing to anybody but
// the owner at the unix socket: whether it was there and right before, or not there.
func TestFilesThatAreWrongCloseTheDoor(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	wrong := map[string]func(file string) error{
		"garbage":   func(f string) error { return os.WriteFile(f, []byte("alice\x00 {"), 0o600) },
		"cut off":   func(f string) error { return os.WriteFile(f, []byte(`{"version": "1", "policy": {`), 0o600) },
		"a folder":  func(f string) error { return os.Mkdir(f, 0o700) },
		"dead link": func(f string) error { return os.Symlink("nosuch", f) },
		"too long":  func(f string) error { return os.WriteFile(f, []byte(strings.Repeat("x", 1<<20)), 0o600) },
	}
	alice := Identity{Name: "alice", Method: ByCertificate}
	hash, err := bcrypt.GenerateFromPassword([]byte("wonderland"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, right string
		open        func(file string) (look func() bool, may func() bool)
	}{
		{"roles", "alice admin\n", func(f string) (func() bool, func() bool) {
			r := NewRoles(f, log)
			return func() bool { return r.look(false) }, func() bool { return r.Of(alice) == Admin }
		}},
		{"passwords", "alice:" + string(hash) + "\n", func(f string) (func() bool, func() bool) {
			p := NewPasswords(f, log)
			return func() bool { return p.look(false) }, func() bool { return p.Check(context.Background(), "here", "alice", "wonderland") == nil }
		}},
		{"authz.json", `{"version":"1","policy":"{\"name\":\"p\",\"allow_rules\":[{\"name\":\"all\"}]}"}`, func(f string) (func() bool, func() bool) {
			p := NewRPCPolicies(f, log)
			return func() bool { return p.look(false) }, func() bool {
				policy, there := p.Active()
				if !there {
					return true
				}
				ok := false
				if policy != nil {
					ok, _ = policy.Permits("alice", methodGet, metadata.MD{})
				}
				return ok
			}
		}},
	} {
		for how, spoil := range wrong {
			for _, before := range []string{"", tc.right} {
				file := filepath.Join(t.TempDir(), tc.name)
				put := func(text string) {
					t.Helper()
					if err := os.RemoveAll(file); err != nil {
						t.Fatal(err)
					}
					if text == "" {
						return
					}
					if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				put(before)
				look, may := tc.open(file)
				if want := tc.name != "passwords" || before != ""; may() != want {
					t.Fatalf("%s with %q: may is %v", tc.name, before, may())
				}
				put("")
				if err := spoil(file); err != nil {
					t.Fatal(err)
				}
				look()
				if may() {
					t.Errorf("%s that is %s lets alice in", tc.name, how)
				}
				put(tc.right)
				look()
				if !may() {
					t.Errorf("%s that is right again keeps alice out", tc.name)
				}
			}
		}
	}
}
