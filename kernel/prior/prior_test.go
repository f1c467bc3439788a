package prior

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"heddle/kernel/object"
)

func entry(link string, index int32, mtu string) Entry {
	return Entry{Key: object.LinkConfigKey(link), Ifindex: index,
		Before: map[string]string{"mtu": "1500"}, Set: map[string]string{"mtu": mtu}}
}

func open(t *testing.T, dir, scope string) *Store {
	t.Helper()
	s, err := Open(dir, scope)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSurvivesRestart(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, "boot a")
	if err := s.Put(entry("eth0", 2, "1400"), entry("eth1", 3, "1300")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "boot a")
	if e, ok := s.Get(object.LinkConfigKey("eth0")); !ok || !e.equal(entry("eth0", 2, "1400")) {
		t.Errorf("read %+v, %t", e, ok)
	}
	if err := s.Delete(object.LinkConfigKey("eth0"), object.LinkConfigKey("none")); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, "boot a")
	if es := s.Kind(object.KindLinkConfig); len(es) != 1 || es[0].Key.ID != "eth1" {
		t.Errorf("left: %+v", es)
	}
	if es := s.Kind(object.KindMember); es != nil {
		t.Errorf("members: %+v", es)
	}
	es, err := os.ReadDir(dir)
	if err != nil || len(es) != 1 {
		t.Errorf("files: %v, %v", es, err)
	}
}

// TestOtherScope: after a reboot, the values that the record speaks of are gone.
func TestOtherScope(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir, "boot a").Put(entry("eth0", 2, "1400")); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, "boot b")
	if es := s.Kind(object.KindLinkConfig); len(es) != 0 {
		t.Errorf("still there: %+v", es)
	}
	a, err := Scope()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Scope()
	if err != nil || a != b || !strings.Contains(a, "netns") {
		t.Errorf("scope %q, then %q, %v", a, b, err)
	}
}

func TestDamagedFile(t *testing.T) {
	for name, text := range map[string]string{
		"cut short":    `{"version":1,"scope":"s","entries":[{"kind":"link`,
		"newer":        `{"version":2,"scope":"s"}`,
		"unknown kind": `{"version":1,"scope":"s","entries":[{"kind":"warp","id":"x"}]}`,
		"empty":        ``,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "prior.json")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, "s")
			if err == nil || !strings.Contains(err.Error(), path) {
				t.Errorf("error %v does not name the file", err)
			}
		})
	}
}

// TestKilledInWrite: what a process that was killed has left of a write neither
// counts nor stays.
func TestKilledInWrite(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prior.json.tmp"), []byte(`{"version":1,"scope":"s","ent`), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, dir, "s")
	if len(s.Kind(object.KindLinkConfig)) > 0 {
		t.Error("half a write counts")
	}
	if err := s.Put(entry("eth0", 2, "1400")); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("files %v, %v", files, err)
	}
	if _, ok := open(t, dir, "s").Get(object.LinkConfigKey("eth0")); !ok {
		t.Error("what was written is not there")
	}
}

// TestFailedWrite: without room on the disk nothing changes.
func TestFailedWrite(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	s := open(t, dir, "s")
	if err := s.Put(entry("eth0", 2, "1400")); err == nil {
		t.Fatal("written into a directory that does not exist")
	}
	if _, ok := s.Get(object.LinkConfigKey("eth0")); ok {
		t.Error("kept what could not be written")
	}
}
