package rules_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"heddle/agent/rules"
	"heddle/schema"
	"heddle/translators"
	"heddle/translators/all"
	"heddle/translators/modeltest"
)

var update = flag.Bool("update", false, "rewrite the expected errors in testdata")

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

// TestGolden runs the scenarios in testdata. A Set is followed by "accepted", or
// by "refused" with one error a line, after which the configuration is what it
// was. What is accepted must be translatable.
func TestGolden(t *testing.T) {
	m := model(t)
	r := rules.New(m)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("find scenarios: %v, %d files", err, len(files))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { golden(t, m, r, file) })
	}
}

func golden(t *testing.T, m *translators.Model, r *rules.Rules, file string) {
	a, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	steps, err := modeltest.Scenario(m.Schema, a)
	if err != nil {
		t.Fatal(err)
	}
	config, engine := modeltest.New(m.Schema, schema.Entries{}), all.Engine(m)
	for _, step := range steps {
		if len(step.Expect) != 1 {
			t.Fatalf("%s: want one expectation, accepted or refused, got %d", step.Title, len(step.Expect))
		}
		want := &a.Files[step.Expect[0]]
		next, changes, err := config.Apply(step.Edits)
		if err != nil {
			t.Fatalf("%s: %v", step.Title, err)
		}
		got := check(t, r, config, next, changes)
		if (got == "") != (want.Name == "accepted") {
			t.Errorf("%s: want it %s, got:\n%s", step.Title, want.Name, got)
		}
		if got == "" {
			d, err := engine.Prepare(config, next, changes)
			if err != nil {
				t.Fatalf("%s: accepted, but: %v", step.Title, err)
			}
			d.Commit()
			config = next
			continue
		}
		if *update {
			want.Data = []byte(got)
		} else if d := cmp.Diff(string(want.Data), got); d != "" {
			t.Errorf("%s: (-want +got):\n%s", step.Title, d)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// check lists the errors, and makes sure that they say what they must.
func check(t *testing.T, r *rules.Rules, before, after translators.Reader, changes []schema.Change) string {
	t.Helper()
	var b strings.Builder
	for _, err := range r.Check(before, after, changes) {
		v, ok := err.(interface {
			Violation() (path, value, reason, remedy string)
		})
		if !ok {
			t.Fatalf("error %v has no Violation method", err)
		}
		if path, _, reason, remedy := v.Violation(); path == "" || reason == "" || remedy == "" {
			t.Errorf("error %v lacks path, reason or remedy", err)
		}
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

// Every rule refuses something in testdata: a rule that never fires is either
// untested or unneeded.
func TestEveryRuleFires(t *testing.T) {
	m := model(t)
	fired := map[string]bool{}
	r := rules.New(m)
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		steps, err := modeltest.Scenario(m.Schema, a)
		if err != nil {
			t.Fatal(err)
		}
		config := modeltest.New(m.Schema, schema.Entries{})
		for _, step := range steps {
			next, changes, err := config.Apply(step.Edits)
			if err != nil {
				t.Fatal(err)
			}
			errs := r.Check(config, next, changes)
			for _, err := range errs {
				var v *rules.Violation
				if errors.As(err, &v) {
					fired[v.Rule] = true
				}
			}
			if len(errs) == 0 {
				config = next
			}
		}
	}
	for _, name := range r.Names() {
		if !fired[name] {
			t.Errorf("no scenario in testdata breaks the rule %s", name)
		}
	}
}
