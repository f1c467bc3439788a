package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestEventually(t *testing.T) {
	for _, tc := range []struct {
		args  string
		tries int    // after which try the command succeeds
		want  string // in the error; empty: none
		calls int
	}{
		{"10s try a b", 1, "", 1},
		{"10s try a b", 3, "", 3},
		{"10s stdout=^call.3$ try a b", 1, "", 3},
		{"150ms try a b", 1000, "not within 150ms", 0},
		{"150ms stdout=never try a b", 1, "stdout does not match", 0},
		{"10s bad", 1, "usage", 0},
		{"soon try", 1, "usage", 0},
		{"10s stdout=( try", 1, "usage", 0},
		{"10s exec true", 1, "COMMAND is one of", 0},
		{"10s", 1, "usage", 0},
	} {
		t.Run(tc.args, func(t *testing.T) {
			calls := 0
			table := map[string]command{
				"try": func(_ *session, c call) error {
					calls++
					fmt.Fprintf(c.out, "call %d\n", calls)
					if strings.Join(c.args, " ") != "a b" {
						return &usageError{"arguments " + strings.Join(c.args, " ")}
					}
					if calls < tc.tries {
						return errors.New("not yet")
					}
					return nil
				},
				"bad": func(*session, call) error { return &usageError{"bad"} },
			}
			var out, errw bytes.Buffer
			err := (&session{}).eventually(table, call{args: strings.Fields(tc.args), out: &out, errw: &errw})
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
			if tc.calls != 0 && calls != tc.calls {
				t.Errorf("%d calls, want %d", calls, tc.calls)
			}
			if tc.want == "" && out.String() != fmt.Sprintf("call %d\n", calls) {
				t.Errorf("stdout is not the last try's: %q", out.String())
			}
		})
	}
}

func TestAtLeast(t *testing.T) {
	for _, tc := range []struct {
		release, than string
		want          bool
	}{
		{"6.1.0-50-cloud-amd64", "6.1", true}, {"6.1.0-50-cloud-amd64", "6.12", false}, {"6.12.107+deb13-cloud-amd64", "6.1", true},
		{"7.2.13", "6.12", true}, {"5.19", "6.1", false}, {"6", "6.0", true},
	} {
		if got := atLeast(tc.release, tc.than); got != tc.want {
			t.Errorf("%s at least %s: %v", tc.release, tc.than, got)
		}
	}
}

func TestUsage(t *testing.T) {
	s := newSession(nil, false, nil, map[string]error{})
	for name, lines := range map[string][]string{
		"topology": {"", "a b", "nope"}, "agent": {"", "start", "restart pe3"}, "on": {"", "pe3"}, "ping": {"pe3", "pe3 ::1 count=x", "pe3 ::1 speed=1"},
		"capture": {"", "start a b", "stop", "stop none"}, "gnmi": {"pe3", "pe3 set no-such-file.json"}, "require": {"", "warp"},
		"background": {"", "x on pe3", "x ping pe3 ::1"}, "said": {"", "none"}, "end": {"", "none"}, "remember": {"", "a b", "a as=b c"},
		"unchanged": {"", "pe3", "pe3 all", "pe3 since=b"}, "counters": {"", "mark a pe3", "rose none packets=1"}, "lacks": {"", "warp", "vrf seg6"},
	} {
		for _, line := range lines {
			err := commands()[name](s, call{args: strings.Fields(line), dir: t.TempDir(), out: &bytes.Buffer{}, errw: &bytes.Buffer{}})
			var usage *usageError
			if !errors.As(err, &usage) {
				t.Errorf("%s %s: %v", name, line, err)
			}
		}
	}
}

// A command of ours with the name of one of testscript's would never run: the
// script would do something else, and may pass.
func TestNoneIsShadowed(t *testing.T) {
	for name := range scriptCommands() {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "x.txtar"), []byte(name+" x\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		ran := false
		t.Run(name, func(t *testing.T) {
			testscript.Run(t, testscript.Params{Dir: dir, Cmds: map[string]func(*testscript.TestScript, bool, []string){
				name: func(*testscript.TestScript, bool, []string) { ran = true },
			}})
		})
		if !ran {
			t.Errorf("testscript has a command %s of its own", name)
		}
	}
}

func TestFeaturesAreWellFormed(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range features() {
		if seen[f.name] || len(f.probe) == 0 || !atLeast(f.since, "4.0") {
			t.Errorf("%+v", f)
		}
		seen[f.name] = true
	}
}

func TestLineDiff(t *testing.T) {
	for _, tc := range []struct{ before, now, want string }{
		{"a\nb\n", "a\nb\n", ""},
		{"a\nb\n", "a\nc\n", "x: - b|x: + c"},
		{"a\n", "a\na\n", "x: + a"},
		{"a\nb\n", "b\na\n", "x: the same lines in another order"},
	} {
		if got := strings.Join(lineDiff("x", tc.before, tc.now), "|"); got != tc.want {
			t.Errorf("%q, %q: got %q, want %q", tc.before, tc.now, got, tc.want)
		}
	}
}
