package datastore

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"heddle/schema"
)

// pair is a startup.json, a startup.log with commits, and their predecessors.
func pair(t *testing.T) *memFS {
	t.Helper()
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"), instance(t, "DEFAULT"))
	r.must(sid(t, 1, "e3"))
	r.disk.rewrite = true
	r.must(link(t, "e3", "two"))
	r.must(link(t, "e4", "four"))
	r.must(link(t, "e4", "five"))
	return r.fs.reboot(loseAll)
}

// closed is a startup.json that has everything.
func closed(t *testing.T) *memFS {
	t.Helper()
	r := start(t, pair(t), &kernel{})
	if err := r.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r.fs.reboot(loseAll)
}

func edit(t *testing.T, fs *memFS, name, old, new string) {
	t.Helper()
	was := fs.get(t, name)
	if !bytes.Contains(was, []byte(old)) {
		t.Fatalf("%s has no %q:\n%s", name, old, was)
	}
	fs.put(name, bytes.Replace(was, []byte(old), []byte(new), 1))
}

// lineOf is the number of the first line with a text.
func lineOf(t *testing.T, fs *memFS, name, part string) int {
	t.Helper()
	for i, line := range strings.Split(string(fs.get(t, name)), "\n") {
		if strings.Contains(line, part) {
			return i + 1
		}
	}
	t.Fatalf("%s has no %q", name, part)
	return 0
}

func TestStartRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files func(*testing.T) *memFS
		spoil func(t *testing.T, fs *memFS)
		file  string
		at    string // text of the line that the error is about
		path  string
		says  []string
		// noPrevious: there is nothing to offer.
		noPrevious bool
	}{
		{
			name: "cut short", files: closed,
			spoil: func(t *testing.T, fs *memFS) {
				data := fs.get(t, startupName)
				fs.put(startupName, data[:len(data)*2/3])
			},
			file: startupName, says: []string{"cut short", "startup.json.prev holds revision 5"},
		},
		{
			name: "empty", files: closed,
			spoil: func(t *testing.T, fs *memFS) { fs.put(startupName, nil) },
			file:  startupName, says: []string{"empty"},
		},
		{
			name: "newer version", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `"format":1`, `"format":9`) },
			file:  startupName, at: memberHeader, says: []string{"format version 9", "up to 1"},
		},
		{
			name: "missing comma", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `"five"`, `"five" "six"`) },
			file:  startupName, at: `"six"`,
		},
		{
			name: "wrong value", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `2001:db8:0:13::3`, `192.0.2.256`) },
			file:  startupName, at: "192.0.2.256", path: sids + "/sid[address=2001:db8:0:1:1::]/config/next-hop", says: []string{"192.0.2.256"},
		},
		{
			name: "unknown member", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `"description"`, `"descripton"`) },
			file:  startupName, at: `"config"`, path: "/interfaces/interface[name=e3]/config", says: []string{"descripton"},
		},
		{
			name: "reference to nothing", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `"interface": "e3"`, `"interface": "e9"`) },
			file:  startupName, at: `"e9"`, path: sids + "/sid[address=2001:db8:0:1:1::]/config/interface", says: []string{"e9", "does not exist"},
		},
		{
			name: "unknown top member", files: closed,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, memberConfiguration, "config") },
			file:  startupName, at: `"config"`, says: []string{`"config"`, `"configuration"`},
		},
		{
			name: "not an object", files: closed,
			spoil: func(t *testing.T, fs *memFS) { fs.put(startupName, []byte("[]")) },
			file:  startupName, says: []string{"object"},
		},
		{
			name: "edited while the log has commits", files: pair,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, startupName, `"two"`, `"too"`) },
			file:  startupName, says: []string{"edited", "2 later commits", "remove startup.log"},
		},
		{
			name: "log damaged in the middle", files: pair,
			spoil: func(t *testing.T, fs *memFS) { edit(t, fs, logName, `"four"`, `"fore"`) },
			file:  logName, at: `"fore"`, says: []string{"damaged", "commit 5 follows"},
		},
		{
			name: "log of a newer version", files: pair,
			spoil: func(t *testing.T, fs *memFS) {
				_, rest, _ := splitLine(fs.get(t, logName))
				fs.put(logName, append(appendRecord(nil, logHeader{Format: 2, Generation: 2, Revision: 3}), rest...))
			},
			file: logName, at: `"heddle-log"`, says: []string{"format version 2"},
		},
		{
			name: "value in the log that the model does not know", files: pair,
			spoil: func(t *testing.T, fs *memFS) {
				data := appendRecord(nil, logHeader{Format: 1, Generation: 2, Revision: 3})
				data = appendRecord(data, beginLine{Revision: 4})
				data = appendRecord(data, entryLine{Path: "/interfaces/interface[name=e3]", Value: []byte(`{"config":{"colour":"red"}}`)})
				fs.put(logName, appendRecord(data, commitLine{Revision: 4, Entries: 1}))
			},
			file: logName, at: "colour", says: []string{"colour"},
		},
		{
			name: "reference to nothing in the log", files: pair,
			spoil: func(t *testing.T, fs *memFS) {
				data := appendRecord(nil, logHeader{Format: 1, Generation: 2, Revision: 3})
				data = appendRecord(data, beginLine{Revision: 4})
				data = appendRecord(data, entryLine{Path: "/interfaces/interface[name=e3]", Delete: true})
				fs.put(logName, appendRecord(data, commitLine{Revision: 4, Entries: 1}))
			},
			file: startupName, at: `"interface": "e3"`, says: []string{"e3"},
		},
		{
			name: "cut short and alone", files: func(t *testing.T) *memFS {
				r := start(t, newMemFS(), &kernel{})
				r.must(link(t, "e3", "one"))
				return r.fs
			},
			spoil: func(t *testing.T, fs *memFS) { fs.put(startupName, fs.get(t, startupName)[:30]) },
			file:  startupName, says: []string{"cut short"}, noPrevious: true,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fs := tt.files(t)
			tt.spoil(t, fs)
			broken := fs.get(t, tt.file)
			r := open(t, fs, &kernel{})
			_, err := r.Start(t.Context())
			var refused *StartupError
			if !errors.As(err, &refused) {
				t.Fatalf("Start: %v, want a StartupError", err)
			}
			if refused.File != "/state/"+tt.file {
				t.Errorf("file %s, want %s: %v", refused.File, tt.file, err)
			}
			if tt.at != "" && refused.Line != lineOf(t, fs, tt.file, tt.at) {
				t.Errorf("line %d, want %d: %v", refused.Line, lineOf(t, fs, tt.file, tt.at), err)
			}
			if tt.path != "" && refused.Path != tt.path {
				t.Errorf("path %s, want %s", refused.Path, tt.path)
			}
			for _, s := range tt.says {
				if !strings.Contains(err.Error(), s) {
					t.Errorf("the error does not say %q: %v", s, err)
				}
			}
			if (refused.Previous == nil) != tt.noPrevious {
				t.Errorf("previous configuration: %+v", refused.Previous)
			}
			if r.kernel.calls != 0 {
				t.Error("the kernel was asked")
			}
			if st := r.Status(); st.Phase != Unloaded || st.Startup != refused || r.Snapshot().Len() != 0 {
				t.Errorf("status %+v with %d entries", st, r.Snapshot().Len())
			}
			// A part would leave the rest unsaid.
			if _, err := r.commit(link(t, "e3", "")); !errors.As(err, &refused) || r.kernel.calls != 0 {
				t.Errorf("Commit of a part: %v", err)
			}
			// All of it is taken, and what was refused is kept.
			res := r.must(replace(t, "/", `{"interfaces":{"interface":[{"name":"e7"}]}}`))
			if res.Revision < 2 && !tt.noPrevious {
				t.Errorf("revision %d after files with higher ones", res.Revision)
			}
			r.agree()
			if !bytes.Equal(r.fs.get(t, tt.file+rejectedSuffix), broken) {
				t.Error("the refused file is not kept")
			}
			r.must(link(t, "e7", "more"))
			if got, _ := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) {
				t.Errorf("a restart finds %s", got)
			}
		})
	}
}

func TestAcceptingAnEmptyConfiguration(t *testing.T) {
	fs := closed(t)
	fs.put(startupName, nil)
	r := open(t, fs, &kernel{})
	if _, err := r.Start(t.Context()); err == nil {
		t.Fatal("an empty file was loaded")
	}
	r.must(del(t, "/"))
	if r.kernel.calls != 1 || r.Status().Phase != Running {
		t.Errorf("%d calls of the kernel, %+v", r.kernel.calls, r.Status())
	}
	if got, res := reopened(t, r.fs.reboot(loseAll)); got != "{}" || res.Revision <= 5 {
		t.Errorf("a restart finds %s, revision %d", got, res.Revision)
	}
}

func TestKernelRefusesAtStart(t *testing.T) {
	r := open(t, pair(t), &kernel{refuse: errRefused})
	_, err := r.Start(t.Context())
	var (
		refused *StartupError
		apply   *ApplyError
	)
	if !errors.As(err, &refused) || !errors.As(err, &apply) || !errors.Is(err, errRefused) {
		t.Fatalf("Start: %v", err)
	}
	if r.Snapshot().Len() != 0 || r.Status().Phase != Unloaded {
		t.Errorf("%d entries run", r.Snapshot().Len())
	}
	r.kernel.refuse = nil
	res, err := r.Start(t.Context())
	if err != nil || res.Revision != 5 || r.Status().Phase != Running {
		t.Errorf("Start again: %+v, %v", res, err)
	}
	r.agree()
}

// everything is an Authority that permits what it is asked about.
type everything struct{}

func (everything) Some() error                   { return nil }
func (everything) Asked([]schema.Edit) error     { return nil }
func (everything) Changed([]schema.Change) error { return nil }

// What a configuration that was not loaded would lose by another one in its place is
// not known: who goes by an authority does not put one there.
func TestAuthorityOverWhatWasNotLoaded(t *testing.T) {
	fs := pair(t)
	fs.put(startupName, fs.get(t, startupName)[:30])
	r := open(t, fs, &kernel{})
	if _, err := r.Start(t.Context()); err == nil {
		t.Fatal("it was loaded")
	}
	for _, op := range []schema.Op{schema.Delete, schema.Replace} {
		edit := schema.Edit{Op: op}
		if op == schema.Replace {
			edit.JSON = []byte(`{}`)
		}
		if _, err := r.Commit(t.Context(), Request{Edits: []schema.Edit{edit}, Authority: everything{}}); !errors.Is(err, ErrNotLoaded) || r.kernel.calls != 0 {
			t.Errorf("%v of the root by somebody with an authority: %v, and the kernel was asked %d times", op, err, r.kernel.calls)
		}
	}
	if _, err := r.Commit(t.Context(), Request{Edits: []schema.Edit{{Op: schema.Replace, JSON: []byte(`{}`)}}}); err != nil {
		t.Errorf("by somebody without: %v", err)
	}
}

func TestPreviousPutBack(t *testing.T) {
	for name, files := range map[string]func(*testing.T) *memFS{"with a log": pair, "after Close": closed} {
		t.Run(name, func(t *testing.T) {
			fs := files(t)
			fs.put(startupName, fs.get(t, startupName+prevSuffix))
			r := start(t, fs, &kernel{})
			want := uint64(5) // closed: the pair before it says the same
			if name == "with a log" {
				want = 2
			}
			if r.Snapshot().Revision() != want {
				t.Errorf("revision %d, want %d", r.Snapshot().Revision(), want)
			}
			r.must(link(t, "e3", "again"))
			if got, _ := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) {
				t.Errorf("a restart finds %s, want %s", got, text(t, r.Snapshot()))
			}
		})
	}
}

func TestStartupRemoved(t *testing.T) {
	fs := pair(t)
	delete(fs.names, startupName)
	k := &kernel{}
	_, err := open(t, fs, k).Start(t.Context())
	var bad *StartupError
	if !errors.As(err, &bad) || !strings.Contains(bad.Error(), logName) || bad.Previous == nil {
		t.Fatalf("start with a log and nothing that it continues: %v", err)
	}
	if len(fs.get(t, logName)) == 0 {
		t.Error("the log is gone")
	}
	// Who means it removes both.
	delete(fs.names, logName)
	r := start(t, fs, &kernel{})
	if r.Snapshot().Len() != 0 {
		t.Errorf("%d entries", r.Snapshot().Len())
	}
	r.must(link(t, "e3", "anew"))
	if got, _ := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) {
		t.Errorf("a restart finds %s, want %s", got, text(t, r.Snapshot()))
	}
}

func TestEditedByHand(t *testing.T) {
	fs := closed(t)
	edit(t, fs, startupName, `"five"`, `"by hand"`)
	r := open(t, fs, &kernel{})
	res, err := r.Start(t.Context())
	if err != nil || !res.Edited {
		t.Fatalf("Start: %+v, %v", res, err)
	}
	if !strings.Contains(text(t, r.Snapshot()), "by hand") {
		t.Errorf("runs %s", text(t, r.Snapshot()))
	}
	r.must(link(t, "e3", "later"))
	r.must(link(t, "e3", "latest"))
	if got, res := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) || res.Edited {
		t.Errorf("a restart finds %s, %+v", got, res)
	}
	// A file written by hand needs no checksum, nor our layout.
	fs = newMemFS()
	fs.put(startupName, []byte(`{"configuration":{"interfaces":{"interface":[{"name":"e3"}]}},"heddle-startup":{"format":1}}`))
	r = start(t, fs, &kernel{})
	if _, ok := r.Snapshot().Get(key(t, "/interfaces/interface[name=e3]")); !ok {
		t.Error("the file of a person was not taken")
	}
	r.must(link(t, "e3", "later"))
}

func TestRecoveryIsTold(t *testing.T) {
	r := start(t, newMemFS(), &kernel{})
	r.must(link(t, "e3", "one"))
	r.must(link(t, "e3", "two"))
	// Killed while the kernel works.
	p, err := r.disk.begin(r.Snapshot(), []schema.Change{{Key: key(t, "/interfaces/interface[name=e3]")}}, Commit{Revision: 3})
	if err != nil {
		t.Fatal(err)
	}
	fs := r.fs.reboot(loseNothing)
	p.abort()
	var log bytes.Buffer
	again := open(t, fs, &kernel{}, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	res, err := again.Start(t.Context())
	if err != nil || res.Unfinished != 3 || res.Revision != 2 {
		t.Errorf("Start: %+v, %v", res, err)
	}
	if want := "recovered: revision 2, commit 3 was not finished"; !strings.Contains(log.String(), want) {
		t.Errorf("log %s, want %q", &log, want)
	}
	again.must(link(t, "e3", "three"))
	if _, res := reopened(t, again.fs.reboot(loseAll)); res.Revision != 3 || res.Unfinished != 0 {
		t.Errorf("%+v", res)
	}
}

// TestEveryReadFails: a start that cannot read says so, changes nothing, and
// succeeds when the disk does.
func TestEveryReadFails(t *testing.T) {
	files := pair(t)
	count := start(t, files.reboot(loseAll), &kernel{})
	want, n := text(t, count.Snapshot()), count.fs.ops
	failed := 0
	for op := 1; op <= n; op++ {
		r := open(t, files.reboot(loseAll), &kernel{})
		r.fs.plan = failOp(op, diskErrors["EIO"], false)
		_, err := r.Start(t.Context())
		r.fs.plan = nil
		var refused *StartupError
		if errors.As(err, &refused) {
			failed++
			if r.kernel.calls != 0 || r.Snapshot().Len() != 0 {
				t.Errorf("operation %d fails (%v): kernel called %d times", op, err, r.kernel.calls)
			}
			if _, err = r.Start(t.Context()); err != nil {
				t.Fatalf("operation %d failed, Start again: %v", op, err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if got := text(t, r.Snapshot()); got != want {
			t.Errorf("operation %d fails: runs %s, want %s", op, got, want)
		}
		r.must(link(t, "e9", "works"))
		if got, _ := reopened(t, r.fs.reboot(loseAll)); got != text(t, r.Snapshot()) {
			t.Errorf("operation %d failed: a restart finds %s", op, got)
		}
	}
	if failed == 0 {
		t.Error("no read failed the start")
	}
}

// TestRealFiles does a round on the operating system's file system, where names,
// modes and the order of calls are the real ones.
func TestRealFiles(t *testing.T) {
	dir := t.TempDir() + "/made/state"
	c := Config{Schema: model(t), Applier: &kernel{}, Dir: dir}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range [][]schema.Edit{
		{link(t, "e3", "one"), instance(t, "DEFAULT")},
		{link(t, "e3", "two")},
		{replace(t, sids, manySIDs(largeChange, "e3"))},
		{link(t, "e3", "three")},
	} {
		if _, err := s.Commit(t.Context(), Request{Edits: e}); err != nil {
			t.Fatal(err)
		}
	}
	want := text(t, s.Snapshot())
	for _, name := range []string{startupName, logName, startupName + prevSuffix, logName + prevSuffix} {
		st, err := os.Stat(dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v; a configuration holds keys", name, st.Mode())
		}
	}
	// As a killed process leaves it.
	if err := s.lock.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := text(t, again.Snapshot()); got != want {
		t.Errorf("a restart finds another configuration")
	}
	if err := again.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	// What lies there serves as a file that people edit.
	data, err := os.ReadFile(dir + "/" + startupName)
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(data), "\n"); lines < largeChange {
		t.Errorf("startup.json has %d lines: nobody can read that", lines)
	}
}
