package all_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"heddle/kernel/object"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/all"
	"heddle/translators/modeltest"
)

var update = flag.Bool("update", false, "rewrite the expected objects in testdata")

func model(t testing.TB) *translators.Model {
	t.Helper()
	s, err := schema.Heddle()
	if err != nil {
		t.Fatal(err)
	}
	m, err := translators.NewModel(s)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// run is a configuration with the engine that follows it.
type run struct {
	model   *translators.Model
	engine  *translators.Engine
	config  *modeltest.Snapshot
	objects map[object.Key]translators.Change
}

func newRun(m *translators.Model) *run {
	return &run{m, all.Engine(m), modeltest.New(m.Schema, schema.Entries{}), map[object.Key]translators.Change{}}
}

// set does one Set and describes what it changed.
func (r *run) set(edits []schema.Edit) (delta string, units int, err error) {
	next, changes, err := r.config.Apply(edits)
	if err != nil {
		return "", 0, err
	}
	d, err := r.engine.Prepare(r.config, next, changes)
	if err != nil {
		return "", 0, err
	}
	d.Commit()
	r.config = next
	delta, err = r.note(d)
	return delta, d.Units, err
}

// note takes a delta to the objects and describes it.
func (r *run) note(d *translators.Delta) (delta string, err error) {
	var lines []string
	for _, c := range d.Changes {
		if got := r.objects[c.Key].Want; (got == nil) != (c.Old == nil) || got != nil && !got.Equal(c.Old) {
			return "", fmt.Errorf("%s: the engine says it was %v, it was %v", c.Key, c.Old, got)
		}
		switch {
		case c.Want == nil:
			lines = append(lines, fmt.Sprintf("- %s", c.Old))
			delete(r.objects, c.Key)
			continue
		case c.Old == nil:
			lines = append(lines, fmt.Sprintf("+ %s", c.Want))
		default:
			lines = append(lines, fmt.Sprintf("~ %s => %s", c.Old, c.Want))
		}
		r.objects[c.Key] = c
	}
	slices.Sort(lines)
	return text(lines), nil
}

// wanted lists the objects, in the order in which they come up.
func (r *run) wanted() string {
	var lines []string
	for _, k := range sortedKeys(r.objects) {
		lines = append(lines, fmt.Sprint(r.objects[k].Want))
	}
	return text(lines)
}

// origins lists who wants each object.
func (r *run) origins() string {
	var lines []string
	for _, k := range sortedKeys(r.objects) {
		lines = append(lines, fmt.Sprintf("%s <- %s", r.objects[k].Want, r.model.Text(r.objects[k].Origin)))
	}
	return text(lines)
}

func (r *run) withheld() string {
	var lines []string
	r.config.Scan("", func(k schema.EntryKey, _ schema.GoStruct) bool {
		if reason, ok := r.engine.Withheld(k); ok {
			lines = append(lines, r.model.Text(k)+": "+reason)
		}
		return true
	})
	return text(lines)
}

func sortedKeys(m map[object.Key]translators.Change) []object.Key {
	var keys []object.Key
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, object.Key.Compare)
	return keys
}

func text(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// kernels are what some scenarios run on, by the name of the file.
var kernels = map[string]translators.Kernel{
	"ifb":       {SIDLinkIFB: true},
	"own-encap": {OwnEncap4: true},
}

// TestGolden runs the scenarios in testdata: the expectations are "objects" (all
// that is wanted), "delta" (what the Set changed), "origins" (who wants it),
// "withheld", "units" (how many were translated) and "error".
func TestGolden(t *testing.T) {
	m := model(t)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scenarios: %v, %d files", err, len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run(name, func(t *testing.T) { golden(t, m.For(kernels[name]), file) })
	}
}

func golden(t *testing.T, m *translators.Model, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := modeltest.Scenario(m.Schema, a)
	if err != nil {
		t.Fatal(err)
	}
	r := newRun(m)
	for _, step := range steps {
		delta, units, err := r.set(step.Edits)
		wantError := false
		for _, i := range step.Expect {
			f := &a.Files[i]
			var got string
			switch f.Name {
			case "objects":
				got = r.wanted()
			case "origins":
				got = r.origins()
			case "delta":
				got = delta
			case "withheld":
				got = r.withheld()
			case "units":
				got = fmt.Sprintln(units)
			case "error":
				wantError = true
				got = fmt.Sprintln(err)
			default:
				t.Fatalf("file %s: neither an edit nor an expectation", f.Name)
			}
			if *update {
				f.Data = []byte(got)
			} else if d := cmp.Diff(string(f.Data), got); d != "" {
				t.Errorf("%s: %s (-want +got):\n%s", step.Title, f.Name, d)
			}
		}
		if err != nil && !wantError {
			t.Fatalf("%s: %v", step.Title, err)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
