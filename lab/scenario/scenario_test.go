package scenario

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"heddle/lab/netlab"
)

// The scripts travel inside the test binary: in the machine there is no source.
//
//go:embed testdata/*.txtar
var scripts embed.FS

func TestMain(m *testing.M) {
	netlab.EnterIfAsked()
	os.Exit(m.Run())
}

// TestScenarios runs every script of testdata, one after the other because they
// share the kernel; -run TestScenarios/NAME picks one.
func TestScenarios(t *testing.T) {
	var cfg netlab.Config
	log := slog.New(slog.NewTextHandler(testWriter{t}, nil))
	switch lab := os.Getenv("LAB"); {
	case lab == "vm":
		cfg = netlab.VMConfig(log)
	case lab == "netns" && os.Geteuid() != 0:
		t.Fatal("LAB=netns needs root")
	case lab == "netns":
		cfg = netlab.HostConfig(log)
	default:
		t.Skip("scenarios change the kernel's networking: set LAB=netns to use this machine's kernel, or run them in a virtual machine with heddle-lab run (see lab/README.md)")
	}
	dir := t.TempDir()
	entries, err := fs.ReadDir(scripts, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := scripts.ReadFile("testdata/" + e.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, e.Name()), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found := map[string]error{} // by feature, shared because a probe takes its time
	params := testscript.Params{Dir: dir, Cmds: scriptCommands(), RequireExplicitExec: true, RequireUniqueNames: true,
		Setup:     func(env *testscript.Env) error { return setup(env, cfg, found) },
		Condition: condition,
	}
	testscript.RunT(runner{T: t}, params)
}

// setup gives a script its session, and takes the lab down after it.
func setup(env *testscript.Env, cfg netlab.Config, found map[string]error) error {
	t := env.T().(runner)
	lab := netlab.New(cfg)
	s := newSession(lab, os.Getenv("LAB") == "vm", t.Skip, found)
	env.Values[sessionKey{}] = s
	// Not env.Defer: that ends before the verdict is known, and the logs are
	// for scenarios that failed.
	t.T.Cleanup(func() {
		for _, c := range s.captures {
			if err := c.stop(); err != nil {
				t.Errorf("end capture: %v", err)
			}
		}
		for name, j := range s.jobs {
			if err := j.stop(); err != nil {
				t.T.Logf("end %s: %v", name, err)
			}
			if t.Failed() {
				t.T.Logf("--- %s, in the background, had said ---\n%s", name, j.text())
			}
		}
		if t.Failed() {
			t.T.Log(logTails(lab))
		}
		var nodes []string
		if topo := lab.Topology(); topo != nil {
			nodes = topo.NodeNames()
		}
		if err := lab.Down(); err != nil {
			t.Errorf("tear down: %v", err)
		}
		left, err := lab.Leaks(nodes)
		if err := errors.Join(err, leaksError(left)); err != nil {
			t.Errorf("after tear-down: %v", err)
		}
	})
	env.Setenv("EXAMPLES", examples())
	for _, k := range []string{"LAB", "HEDDLE_OUT"} {
		env.Setenv(k, os.Getenv(k))
	}
	return nil
}

// examples is where the repository's examples are: beside the test binary when
// heddle-lab brought them along (--files examples), else in the source tree.
func examples() string {
	for _, dir := range []string{"examples", "../../examples"} {
		if abs, err := filepath.Abs(dir); err == nil {
			if _, err := os.Stat(abs); err == nil {
				return abs
			}
		}
	}
	return "/examples-were-not-brought-along--use--files-examples"
}

func leaksError(left []string) error {
	if len(left) == 0 {
		return nil
	}
	return fmt.Errorf("left over: %s", strings.Join(left, ", "))
}

// condition is for [kernel:6.12] in scripts: this kernel or a later one; and
// [vm], [netns].
func condition(cond string) (bool, error) {
	if release, ok := strings.CutPrefix(cond, "kernel:"); ok {
		return atLeast(kernelRelease(), release), nil
	}
	if cond == "vm" || cond == "netns" {
		return os.Getenv("LAB") == cond, nil
	}
	return false, fmt.Errorf("condition %q is not known: use kernel:RELEASE, vm or netns", cond)
}

// runner runs scripts one at a time and says what is skipped even without -v.
type runner struct{ *testing.T }

func (r runner) Parallel()     {}
func (r runner) Verbose() bool { return testing.Verbose() }

func (r runner) Run(name string, f func(testscript.T)) {
	r.T.Run(name, func(t *testing.T) { f(runner{T: t}) })
}

func (r runner) Skip(args ...any) {
	fmt.Printf("SKIP %s: %s\n", r.Name(), fmt.Sprint(args...))
	r.T.Skip(args...)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
