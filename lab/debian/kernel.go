// Package debian gets things from Debian's package manager without changing the
// machine: kernels of any release into the lab's cache, and, only when they are
// missing, the programs the lab itself runs. It serves lab/cli; it knows nothing
// of images or machines.
package debian

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"syscall"
	"time"
)

// Source says where a kernel line comes from: the first of Suites whose kernel
// is of the Line wanted.
type Source struct {
	Name   string   // what the user says: "6.1"
	Line   string   // the release must begin with this; empty: whatever the suite has
	Suites []string // Debian suites in order of preference
}

// Sources returns the kernels that the lab knows by name.
func Sources() []Source {
	return []Source{
		{Name: "6.1", Line: "6.1.", Suites: []string{"bookworm"}},
		{Name: "6.12", Line: "6.12.", Suites: []string{"trixie", "bookworm-backports"}},
		{Name: "sid", Suites: []string{"sid"}},
	}
}

var suiteName = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)

// FindSource returns the source of a name: one of Sources, "7.x" for sid, or
// "suite:NAME" for whatever kernel that suite carries.
func FindSource(name string) (Source, error) {
	if name == "7.x" {
		name = "sid"
	}
	var names []string
	for _, s := range Sources() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if suite, ok := strings.CutPrefix(name, "suite:"); ok && suiteName.MatchString(suite) {
		return Source{Name: name, Suites: []string{suite}}, nil
	}
	return Source{}, fmt.Errorf("find kernel %q: the lab knows %s, and suite:NAME for the kernel of any Debian suite", name, strings.Join(names, ", "))
}

// Kernel is an unpacked kernel in the cache.
type Kernel struct {
	Name    string // the source's name
	Release string // as `uname -r`
	Version string // of the package
	Suite   string
	Dir     string // holds the unpacked packages
}

// Vmlinuz is the kernel image; newer packages have it among the modules and copy
// it to /boot at installation.
func (k Kernel) Vmlinuz() string {
	boot := filepath.Join(k.Dir, "boot", "vmlinuz-"+k.Release)
	if _, err := os.Stat(boot); err == nil {
		return boot
	}
	return filepath.Join(k.Modules(), "vmlinuz")
}

// Modules is the directory of the modules; Debian has them under /lib or, since
// the merge, /usr/lib.
func (k Kernel) Modules() string {
	usr := filepath.Join(k.Dir, "usr/lib/modules", k.Release)
	if _, err := os.Stat(usr); err == nil {
		return usr
	}
	return filepath.Join(k.Dir, "lib/modules", k.Release)
}

// Store keeps kernels below a cache directory.
type Store struct {
	Dir      string // the cache; kernels go to Dir/kernels
	Progress func(format string, args ...any)
}

func (s *Store) kernelsDir() string { return filepath.Join(s.Dir, "kernels") }

func (s *Store) indexPath(name string) string {
	return filepath.Join(s.kernelsDir(), strings.ReplaceAll(name, ":", "_")+".json")
}

// Cached returns the kernel of a name if the cache has it.
func (s *Store) Cached(name string) (Kernel, bool) {
	text, err := os.ReadFile(s.indexPath(name))
	if err != nil {
		return Kernel{}, false
	}
	var k Kernel
	if json.Unmarshal(text, &k) != nil {
		return Kernel{}, false
	}
	// The cache may have been moved since.
	k.Dir = filepath.Join(s.kernelsDir(), filepath.Base(k.Dir))
	if _, err := os.Stat(k.Vmlinuz()); err != nil {
		return Kernel{}, false
	}
	return k, true
}

// Get returns the kernel of a source, from the cache or, if it is not there or
// refresh is set, downloaded. Two processes that want the same kernel take turns.
func (s *Store) Get(ctx context.Context, src Source, refresh bool) (Kernel, error) {
	if k, ok := s.Cached(src.Name); ok && !refresh {
		return k, nil
	}
	unlock, err := s.lock()
	if err != nil {
		return Kernel{}, err
	}
	defer unlock()
	if k, ok := s.Cached(src.Name); ok && !refresh {
		return k, nil
	}
	var errs []error
	for _, suite := range src.Suites {
		k, err := s.fetch(ctx, src, suite)
		if err == nil {
			return k, s.record(k)
		}
		errs = append(errs, err)
		if ctx.Err() != nil {
			break
		}
	}
	return Kernel{}, fmt.Errorf("get kernel %s: %w", src.Name, errors.Join(errs...))
}

func (s *Store) lock() (func(), error) {
	if err := os.MkdirAll(s.kernelsDir(), 0o755); err != nil {
		return nil, fmt.Errorf("create cache: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(s.kernelsDir(), "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock cache: %w", err)
	}
	return func() { f.Close() }, nil
}

func (s *Store) record(k Kernel) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("record kernel: %w", err)
	}
	tmp := s.indexPath(k.Name) + ".new"
	if err := os.WriteFile(tmp, append(text, '\n'), 0o644); err != nil {
		return fmt.Errorf("record kernel: %w", err)
	}
	if err := os.Rename(tmp, s.indexPath(k.Name)); err != nil {
		return fmt.Errorf("record kernel: %w", err)
	}
	return nil
}

const metaPackage = "linux-image-cloud-amd64"

func (s *Store) fetch(ctx context.Context, src Source, suite string) (Kernel, error) {
	start := time.Now()
	apt, err := newAptDir(ctx, filepath.Join(s.Dir, "apt", suite), suite)
	if err != nil {
		return Kernel{}, err
	}
	s.Progress("reading the package lists of %s", suite)
	if err := apt.get(ctx, "update"); err != nil {
		return Kernel{}, fmt.Errorf("read package lists of %s: %w", suite, err)
	}
	image, err := apt.dependency(ctx, metaPackage, "linux-image-")
	if err != nil {
		return Kernel{}, err
	}
	release := strings.TrimPrefix(image, "linux-image-")
	if !strings.HasPrefix(release, src.Line) {
		return Kernel{}, fmt.Errorf("find kernel %s: suite %s now carries %s: name the kernel by another suite, as in --kernel suite:NAME", src.Name, suite, release)
	}
	version, err := apt.version(ctx, image)
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Name: src.Name, Release: release, Version: version, Suite: suite,
		Dir: filepath.Join(s.kernelsDir(), release+"_"+version)}
	if _, err := os.Stat(k.Vmlinuz()); err == nil {
		return k, nil
	}
	// Newer packages are an empty image package that depends on the parts.
	packages := []string{image}
	for _, part := range []string{"linux-base-", "linux-binary-", "linux-modules-"} {
		if p, err := apt.dependency(ctx, image, part+release); err == nil {
			packages = append(packages, p)
		}
	}
	s.Progress("downloading %s %s from %s", strings.Join(packages, ", "), version, suite)
	if err := apt.unpack(ctx, packages, k.Dir); err != nil {
		return Kernel{}, err
	}
	if _, err := os.Stat(k.Vmlinuz()); err != nil {
		return Kernel{}, fmt.Errorf("unpack %s: no kernel image in it: %w", image, err)
	}
	s.Progress("kernel %s is in the cache (%.1f s)", release, time.Since(start).Seconds())
	return k, nil
}

// List returns the cached kernels, oldest name first.
func (s *Store) List() ([]Kernel, error) {
	names, err := filepath.Glob(filepath.Join(s.kernelsDir(), "*.json"))
	if err != nil {
		return nil, fmt.Errorf("list kernels: %w", err)
	}
	sort.Strings(names)
	var out []Kernel
	for _, n := range names {
		name := strings.ReplaceAll(strings.TrimSuffix(filepath.Base(n), ".json"), "_", ":")
		if k, ok := s.Cached(name); ok {
			out = append(out, k)
		}
	}
	return out, nil
}

// aptDir is an apt configuration of our own for one suite: its package lists,
// its state and its sources never touch the machine's.
type aptDir struct {
	dir  string
	args []string
}

func newAptDir(ctx context.Context, dir, suite string) (*aptDir, error) {
	mirror, err := machineMirror(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial", "download"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("create apt directory: %w", err)
		}
	}
	line := "deb " + mirror.options() + mirror.URI + " " + suite + " main\n"
	// Written anew each time: the machine may have another mirror by now.
	if err := os.WriteFile(filepath.Join(dir, "sources.list"), []byte(line), 0o644); err != nil {
		return nil, fmt.Errorf("write sources list: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "state/status"), nil, 0o644); err != nil {
		return nil, fmt.Errorf("write package status: %w", err)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find apt directory: %w", err)
	}
	a := &aptDir{dir: abs}
	for _, o := range []string{
		"Dir::Etc::SourceList=" + abs + "/sources.list", "Dir::Etc::SourceParts=/dev/null",
		"Dir::Etc::Preferences=/dev/null", "Dir::Etc::PreferencesParts=/dev/null",
		"Dir::State=" + abs + "/state", "Dir::State::Lists=" + abs + "/state/lists", "Dir::State::Status=" + abs + "/state/status",
		"Dir::Cache=" + abs + "/cache", "Acquire::Languages=none",
		// Lists nobody here reads, and other than the package list big.
		"Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false", "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
		"APT::Architecture=amd64", "APT::Architectures=amd64", "APT::Get::AllowUnauthenticated=false",
		// The cache may be where the unprivileged user of apt cannot go.
		"APT::Sandbox::User=root", "Debug::NoLocking=true", "APT::Update::Error-Mode=any",
	} {
		a.args = append(a.args, "-o", o)
	}
	return a, nil
}

func (a *aptDir) get(ctx context.Context, args ...string) error {
	return runQuiet(ctx, "apt-get", append(append([]string{"-q"}, a.args...), args...)...)
}

// dependency returns the one package whose name begins with prefix that pkg
// depends on.
func (a *aptDir) dependency(ctx context.Context, pkg, prefix string) (string, error) {
	text, err := output(ctx, "apt-cache", append(append([]string{}, a.args...), "depends", pkg)...)
	if err != nil {
		return "", fmt.Errorf("read dependencies of %s: %w", pkg, err)
	}
	for line := range strings.Lines(text) {
		dep, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && strings.HasPrefix(dep, prefix) {
			return dep, nil
		}
	}
	return "", fmt.Errorf("read dependencies of %s: none begins with %s", pkg, prefix)
}

func (a *aptDir) version(ctx context.Context, pkg string) (string, error) {
	text, err := output(ctx, "apt-cache", append(append([]string{}, a.args...), "show", "--no-all-versions", pkg)...)
	if err != nil {
		return "", fmt.Errorf("read version of %s: %w", pkg, err)
	}
	for line := range strings.Lines(text) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "Version: "); ok {
			return strings.ReplaceAll(v, ":", "-"), nil
		}
	}
	return "", fmt.Errorf("read version of %s: apt-cache shows none", pkg)
}

// unpack downloads packages and unpacks them into dir, which appears only when
// it is complete.
func (a *aptDir) unpack(ctx context.Context, packages []string, dir string) error {
	download := filepath.Join(a.dir, "download")
	if err := os.RemoveAll(download); err != nil {
		return fmt.Errorf("empty download directory: %w", err)
	}
	if err := os.MkdirAll(download, 0o755); err != nil {
		return fmt.Errorf("create download directory: %w", err)
	}
	// apt-get download checks the hashes of the signed package list and writes
	// to the current directory.
	script := `cd "$1" && shift && exec apt-get "$@"`
	args := append([]string{"-c", script, "sh", download, "-q"}, a.args...)
	if err := runQuiet(ctx, "sh", append(append(args, "download"), packages...)...); err != nil {
		return fmt.Errorf("download kernel: %w", err)
	}
	debs, err := filepath.Glob(filepath.Join(download, "*.deb"))
	if err != nil || len(debs) != len(packages) {
		return fmt.Errorf("download kernel: %d packages arrived, %d were asked for", len(debs), len(packages))
	}
	tmp := dir + ".new"
	if err := os.RemoveAll(tmp); err != nil {
		return fmt.Errorf("unpack kernel: %w", err)
	}
	for _, deb := range debs {
		if err := runQuiet(ctx, "dpkg-deb", "-x", deb, tmp); err != nil {
			return fmt.Errorf("unpack kernel: %w", err)
		}
	}
	if err := os.RemoveAll(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unpack kernel: %w", err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("unpack kernel: %w", err)
	}
	return os.RemoveAll(download)
}
