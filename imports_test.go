// Package heddle_test holds the checks that concern the tree as a whole: who
// may import whom, and how long a file may be.
package heddle_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// importRule says what a room must not reach, directly or through others of our
// packages, and why.
type importRule struct {
	room  string   // package path prefix, without the module name
	never []string // import path prefixes; "heddle/..." are ours
	why   string
}

const (
	netlinkLib = "github.com/vishvananda/netlink"
	ebpfLib    = "github.com/cilium/ebpf"
	grpcLib    = "google.golang.org/grpc"
	sshLib     = "golang.org/x/crypto/ssh"
	gnmiLib    = "github.com/openconfig/gnmi"
)

var importRules = []importRule{
	{
		room:  "kernel/object",
		never: []string{"heddle/", "github.com/", "golang.org/", "google.golang.org/", "os", "net", "log", "syscall"},
		why:   "objects are values that every room shares: anything they import, every room imports",
	},
	{
		room:  "reconcile",
		never: []string{"heddle/gen", "heddle/schema", "heddle/agent", "heddle/translators", "heddle/telemetry", "heddle/kernel/rtnl", "heddle/kernel/sysctl", "heddle/kernel/prior", "heddle/kernel/probe", "heddle/kernel/drivers", netlinkLib, ebpfLib, grpcLib, gnmiLib, "os", "net"},
		why:   "the order of operations is worked out on objects alone, so that it can be tested without a kernel and a model",
	},
	{
		room:  "kernel",
		never: []string{"heddle/gen", "heddle/schema", "heddle/agent", "heddle/translators", "heddle/telemetry", grpcLib, gnmiLib, "github.com/openconfig"},
		why:   "drivers speak of kernel objects; a YANG path in a driver is in the wrong room",
	},
	{
		room:  "kernel/sidprobe",
		never: []string{"heddle/kernel/rtnl", "heddle/kernel/object", "heddle/reconcile", netlinkLib},
		why:   "a probe is a packet: what is configured, here or elsewhere, is for those who ask",
	},
	{
		room:  "kernel/nfprobe",
		never: []string{"heddle/kernel/rtnl", "heddle/kernel/object", "heddle/reconcile", ebpfLib},
		why:   "a probe is a packet: who is probed, and what silence means, is for those who ask",
	},
	{
		room:  "translators",
		never: []string{"heddle/agent", "heddle/telemetry", "heddle/kernel/rtnl", "heddle/kernel/sysctl", "heddle/kernel/prior", "heddle/kernel/probe", "heddle/kernel/drivers", "heddle/reconcile", netlinkLib, ebpfLib, grpcLib, gnmiLib, sshLib},
		why:   "translators are pure functions from configuration to objects",
	},
	{
		room:  "schema",
		never: []string{"heddle/agent", "heddle/translators", "heddle/telemetry", "heddle/kernel", "heddle/reconcile", netlinkLib, ebpfLib, grpcLib, sshLib},
		why:   "the compiled model serves every protocol and knows none, and no kernel",
	},
	{
		room:  "agent/datastore",
		never: []string{"heddle/agent/gnmi", "heddle/agent/netconf", "heddle/agent/access", "heddle/telemetry", "heddle/translators", "heddle/reconcile", "heddle/kernel", netlinkLib, ebpfLib, grpcLib, sshLib},
		why:   "the datastore knows no protocol and no kernel; translators and reconcile are behind its small interfaces",
	},
	{
		room:  "agent/rules",
		never: []string{"heddle/agent/gnmi", "heddle/agent/datastore", "heddle/telemetry", "heddle/reconcile", "heddle/kernel/rtnl", netlinkLib, ebpfLib, grpcLib, sshLib},
		why:   "a semantic rule is a pure decision about configuration",
	},
	{
		room:  "agent/gnmi",
		never: []string{"heddle/translators", "heddle/kernel", "heddle/reconcile", netlinkLib, ebpfLib},
		why:   "a protocol turns messages into edits and errors into status codes, nothing else",
	},
	{
		room:  "agent/access",
		never: []string{"heddle/agent/gnmi", "heddle/agent/rpc", "heddle/agent/datastore", "heddle/telemetry", "heddle/translators", "heddle/reconcile", "heddle/kernel", netlinkLib, ebpfLib},
		why:   "who may do what is decided before and beside what is done, and for every protocol alike",
	},
	{
		room:  "agent/gnsi",
		never: []string{"heddle/agent/gnmi", "heddle/agent/rpc", "heddle/agent/datastore", "heddle/telemetry", "heddle/translators", "heddle/reconcile", "heddle/kernel", netlinkLib, ebpfLib},
		why:   "a protocol turns messages into rotations and records into messages, nothing else",
	},
	{
		room:  "agent/operation",
		never: []string{"heddle/", "github.com/", "golang.org/", "google.golang.org/"},
		why:   "what an agent answers is the same for every protocol",
	},
	{
		room:  "agent/explain",
		never: []string{"heddle/gen", "heddle/schema", "heddle/agent/gnmi", "heddle/agent/rpc", "heddle/kernel/rtnl", netlinkLib, grpcLib, "os", "net"},
		why:   "what becomes of a packet follows from the kernel's objects alone",
	},
	{
		room:  "agent/rpc",
		never: []string{"heddle/agent/gnmi", "heddle/translators", "heddle/kernel", "heddle/reconcile", netlinkLib, ebpfLib},
		why:   "a protocol turns messages into questions and answers into messages, nothing else",
	},
	{
		room:  "telemetry",
		never: []string{"heddle/agent", "heddle/translators", "heddle/kernel/sysctl", "heddle/kernel/prior", netlinkLib, ebpfLib, sshLib},
		why:   "telemetry shows what is there; it neither configures nor knows who does",
	},
}

// translatorsDirect is what translators may not import themselves although the
// generated structs they read do.
var translatorsDirect = []string{"os", "os/exec", "net", "net/http", "time", "log", "log/slog", "syscall"}

type listedPackage struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// loadDeps asks the go command for every package of ours and all it imports.
func loadDeps(t *testing.T) map[string]listedPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Standard", "./...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("list packages: %v\n%s", err, stderr.String())
	}
	pkgs := map[string]listedPackage{}
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listedPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("decode package list: %v", err)
		}
		pkgs[p.ImportPath] = p
	}
	return pkgs
}

// matches reports whether an import path is the prefix or lies below it. Packages
// of the standard library stand for themselves alone: net/netip is values, net
// is the network.
func matches(path, prefix string) bool {
	if std := !strings.Contains(prefix, ".") && !strings.HasPrefix(prefix, "heddle"); std {
		return path == prefix
	}
	return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
}

// reach walks from one of our packages through our packages only, and calls
// visit for every import met on the way, with the chain that led to it.
func reach(pkgs map[string]listedPackage, from string, visit func(chain []string)) {
	seen := map[string]bool{}
	var walk func(chain []string)
	walk = func(chain []string) {
		for _, imp := range pkgs[chain[len(chain)-1]].Imports {
			if seen[imp] {
				continue
			}
			seen[imp] = true
			next := append(chain[:len(chain):len(chain)], imp)
			visit(next)
			// What the generated code imports is ygot's business.
			if matches(imp, "heddle") && !matches(imp, "heddle/gen") {
				walk(next)
			}
		}
	}
	walk([]string{from})
}

func TestImportRules(t *testing.T) {
	pkgs := loadDeps(t)
	for _, rule := range importRules {
		checked := 0
		for path := range pkgs {
			if !matches(path, "heddle/"+rule.room) {
				continue
			}
			checked++
			reach(pkgs, path, func(chain []string) {
				imp := chain[len(chain)-1]
				for _, never := range rule.never {
					// Of the standard library and of other modules only what our
					// own code imports counts, hence len(chain).
					if matches(imp, never) {
						t.Errorf("%s must not reach %s\n\tby %s\n\twhy: %s", path, imp, strings.Join(chain, " -> "), rule.why)
					}
				}
			})
		}
		if checked == 0 {
			t.Errorf("the rule for %s is about no package: was it renamed?", rule.room)
		}
	}
	for path, p := range pkgs {
		if !matches(path, "heddle/translators") {
			continue
		}
		for _, imp := range p.Imports {
			for _, never := range translatorsDirect {
				if imp == never {
					t.Errorf("%s imports %s: translators do no I/O and know no clock", path, imp)
				}
			}
			// The package all is where they are put together.
			if matches(imp, "heddle/translators/") && imp != "heddle/translators" && path != "heddle/translators/all" {
				t.Errorf("%s imports %s: translators do not know each other", path, imp)
			}
		}
	}
}

func TestGeneratedTypesStopAtTheTranslators(t *testing.T) {
	allowed := []string{"heddle/gen", "heddle/schema", "heddle/translators", "heddle/agent/rules", "heddle/telemetry"}
	messages := []string{"heddle/agent", "heddle/cmd/heddle/cli"}
	for path, p := range loadDeps(t) {
		if !matches(path, "heddle") {
			continue
		}
		for _, imp := range p.Imports {
			if !matches(imp, "heddle/gen") {
				continue
			}
			rooms := allowed
			if matches(imp, "heddle/gen/rpc") {
				rooms = messages
			}
			ok := false
			for _, a := range rooms {
				ok = ok || matches(path, a)
			}
			if !ok {
				t.Errorf("%s imports %s: the generated types there are for %s", path, imp, strings.Join(rooms, ", "))
			}
		}
	}
}

// longFiles are the hand-written files that may pass the limit, each with its
// reason.
var longFiles = map[string]string{}

const maxLines = 600

func TestFileLength(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "gen" || (strings.HasPrefix(d.Name(), ".") && path != ".")):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go"):
			return nil
		}
		n, generated, err := countLines(path)
		if err != nil {
			return err
		}
		if reason := longFiles[path]; n > maxLines && !generated && reason == "" {
			t.Errorf("%s has %d lines: over %d asks whether two ideas share it", path, n, maxLines)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func countLines(path string) (lines int, generated bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		lines++
		if strings.HasPrefix(s.Text(), "// Code generated ") {
			generated = true
		}
	}
	return lines, generated, s.Err()
}
