package image

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"path"
	"sort"
	"strings"

	"heddle/lab/debian"
)

// TestDir is where test binaries are in the guest, and their working directory.
const TestDir = "/test"

// BinDir is where the binaries under test that a lab runs (agent, client) are.
const BinDir = "/usr/local/bin"

// Spec says what goes into an image.
type Spec struct {
	Init     string            // this program, built static
	Modules  string            // directory of the kernel's modules
	Binaries map[string]string // name in BinDir -> file
	Tests    map[string]string // path below TestDir -> file or directory
	Tools    []string          // more programs of this machine, with their libraries
	Without  []string          // modules that the kernel is to do without
}

// tools are the real programs of the guest; busybox fills in the rest. The
// shells are real because busybox's runs its own ip before the one in PATH.
func tools() []debian.Need {
	return []debian.Need{
		{Program: "dash", Package: "dash"}, {Program: "bash", Package: "bash"},
		{Program: "ip", Package: "iproute2"}, {Program: "tc", Package: "iproute2"},
		{Program: "bridge", Package: "iproute2"}, {Program: "ss", Package: "iproute2"},
		{Program: "ping", Package: "iputils-ping"}, {Program: "tcpdump", Package: "tcpdump"},
		{Program: "nft", Package: "nftables"},
		// busybox has a setpriv without bounding set.
		{Program: "setpriv", Package: "util-linux"},
	}
}

// Needs lists the programs of this machine that images are made of or with.
func Needs() []debian.Need {
	return append(tools(), debian.Need{Program: "busybox", Package: "busybox-static"}, debian.Need{Program: "xz", Package: "xz-utils"},
		debian.Need{Program: "zstd", Package: "zstd"})
}

// New puts an image together. missing are wanted modules the kernel lacks.
func New(ctx context.Context, s Spec) (b *Builder, missing []string, err error) {
	b = NewBuilder()
	for _, d := range []string{"/proc", "/sys", "/dev", "/run", "/root", "/var/lib", "/var/log", "/var/run", TestDir, BinDir, "/usr/share"} {
		b.Dir(d, 0o755)
	}
	b.Dir("/tmp", 0o777)
	if missing, err = b.AddModules(s.Modules, s.Without...); err != nil {
		return nil, nil, err
	}
	if err := b.File("/init", s.Init); err != nil {
		return nil, nil, err
	}
	b.Link(path.Join(BinDir, "heddle-lab"), "/init")
	if err := b.addTools(s.Tools); err != nil {
		return nil, nil, err
	}
	if err := b.addBusybox(ctx); err != nil {
		return nil, nil, err
	}
	b.addEtc()
	for _, name := range sortedKeys(s.Binaries) {
		if err := b.Program(path.Join(BinDir, name), s.Binaries[name]); err != nil {
			return nil, nil, err
		}
	}
	for _, name := range sortedKeys(s.Tests) {
		if err := b.Tree(path.Join(TestDir, name), s.Tests[name]); err != nil {
			return nil, nil, err
		}
	}
	return b, missing, nil
}

func sortedKeys(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	sort.Strings(out)
	return out
}

func (b *Builder) addTools(more []string) error {
	for _, t := range tools() {
		file, err := debian.FindProgram(t.Program)
		if err != nil {
			return fmt.Errorf("%w: install %s", err, t.Package)
		}
		if err := b.Program(path.Join("/usr/bin", t.Program), file); err != nil {
			return err
		}
	}
	for _, t := range more {
		file, err := debian.FindProgram(t)
		if err != nil {
			return fmt.Errorf("add a tool to the image: %w", err)
		}
		if err := b.Program(path.Join("/usr/bin", path.Base(t)), file); err != nil {
			return err
		}
	}
	b.Link("/bin/sh", "/usr/bin/dash")
	b.Link("/bin/bash", "/usr/bin/bash")
	// Names of tables and protocols, whose place depends on the release, and
	// the terminals people use.
	for _, d := range []string{"/etc/iproute2", "/usr/share/iproute2",
		"/lib/terminfo/l/linux", "/lib/terminfo/x/xterm", "/lib/terminfo/x/xterm-256color",
		"/lib/terminfo/s/screen", "/lib/terminfo/s/screen-256color", "/lib/terminfo/t/tmux-256color", "/lib/terminfo/d/dumb"} {
		if err := b.Tree(d, d); err != nil && !isMissing(err) {
			return err
		}
	}
	return nil
}

// addBusybox links every applet that is not there as a real program.
func (b *Builder) addBusybox(ctx context.Context) error {
	file, err := debian.FindProgram("busybox")
	if err != nil {
		return fmt.Errorf("%w: install busybox-static", err)
	}
	libs, err := b.libs.closure(file)
	if err != nil {
		return fmt.Errorf("add busybox to image: %w", err)
	}
	if len(libs) > 0 {
		return fmt.Errorf("add busybox to image: %s is not static: install busybox-static", file)
	}
	if err := b.File("/bin/busybox", file); err != nil {
		return err
	}
	list, err := exec.CommandContext(ctx, file, "--list").Output()
	if err != nil {
		return fmt.Errorf("list busybox applets: %w", err)
	}
	for _, applet := range strings.Fields(string(list)) {
		if !b.Has("/bin/"+applet) && !b.Has("/usr/bin/"+applet) {
			b.Link("/bin/"+applet, "/bin/busybox")
		}
	}
	return nil
}

func (b *Builder) addEtc() {
	b.Text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", 0o644)
	b.Text("/etc/group", "root:x:0:\n", 0o644)
	b.Text("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n", 0o644)
	b.Text("/etc/hostname", "heddle-lab\n", 0o644)
	b.Text("/etc/resolv.conf", "", 0o644)
	b.Text("/root/.bashrc", "PS1='\\h:\\w# '\nalias ll='ls -l'\n", 0o644)
	b.Text("/root/.bash_profile", ". ~/.bashrc\n", 0o644)
}

func isMissing(err error) bool { return errors.Is(err, fs.ErrNotExist) }
