package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"

	"heddle/lab/debian"
	"heddle/lab/image"
	"heddle/lab/vm"
)

// keepImages bounds the cache: an image is some 30 MB, and each change of a
// binary makes a new one.
const keepImages = 8

// machineFlags are the options of all commands that boot.
type machineFlags struct {
	kernel  string
	memory  int
	cpus    int
	bootIn  time.Duration
	tools   listFlag
	without listFlag
	binDir  string
}

func (m *machineFlags) register(fs *flag.FlagSet, root string) {
	fs.StringVar(&m.kernel, "kernel", "6.1", "kernel: 6.1, 6.12, sid, or suite:`NAME` of Debian")
	fs.IntVar(&m.memory, "memory", 1024, "memory of the machine in MiB")
	fs.IntVar(&m.cpus, "cpus", 1, "processors of the machine; with more than one, emulated kernels crash now and then")
	fs.DurationVar(&m.bootIn, "boot-timeout", 3*time.Minute, "how long a boot may take")
	fs.Var(&m.tools, "tool", "another `PROGRAM` of this computer to have in the machine; may be repeated")
	fs.Var(&m.without, "without-module", "a `MODULE` that the machine's kernel is to lack; may be repeated")
	fs.StringVar(&m.binDir, "bin-dir", filepath.Join(root, "build"), "`DIRECTORY` with heddled and heddle, built static")
}

// prepare gets everything a machine needs: packages, kernel, image.
func (a *app) prepare(ctx context.Context, m *machineFlags, bins, tests map[string]string) (debian.Kernel, string, error) {
	src, err := debian.FindSource(m.kernel)
	if err != nil {
		return debian.Kernel{}, "", &usageError{err.Error()}
	}
	if err := debian.Ensure(ctx, append(vm.Needs(), image.Needs()...), a.progress); err != nil {
		return debian.Kernel{}, "", err
	}
	store := &debian.Store{Dir: a.cache, Progress: a.progress}
	kernel, err := store.Get(ctx, src, false)
	if err != nil {
		return debian.Kernel{}, "", err
	}
	init, err := os.Executable()
	if err != nil {
		return debian.Kernel{}, "", fmt.Errorf("find own program: %w", err)
	}
	if err := requireStatic(init); err != nil {
		return debian.Kernel{}, "", err
	}
	builder, missing, err := image.New(ctx, image.Spec{Init: init, Modules: kernel.Modules(), Binaries: bins, Tests: tests, Tools: m.tools, Without: m.without})
	if err != nil {
		return debian.Kernel{}, "", fmt.Errorf("make image: %w", err)
	}
	dir := filepath.Join(a.cache, "images")
	file, made, err := builder.Save(dir)
	if err != nil {
		return debian.Kernel{}, "", err
	}
	if made {
		a.progress("made image %s for kernel %s", filepath.Base(file), kernel.Release)
		if len(missing) > 0 {
			a.progress("this kernel has no %s", strings.Join(missing, ", "))
		}
		if err := image.Prune(dir, keepImages); err != nil {
			return debian.Kernel{}, "", err
		}
	}
	return kernel, file, nil
}

// requireStatic: this program becomes /init, where there is no loader before it.
func requireStatic(program string) error {
	dynamic, err := image.IsDynamic(program)
	if err != nil {
		return fmt.Errorf("look at own program: %w", err)
	}
	if dynamic {
		return fmt.Errorf("use %s as a machine's first process: it is not static: build heddle-lab with CGO_ENABLED=0", program)
	}
	return nil
}

// boot starts a machine in dir.
func (a *app) boot(ctx context.Context, m *machineFlags, kernel debian.Kernel, img, dir, token string, forwards []vm.Forward, detach bool) (*vm.Machine, error) {
	a.progress("booting kernel %s", kernel.Release)
	ctx, cancel := context.WithTimeoutCause(ctx, m.bootIn, fmt.Errorf("the machine was not ready after %s (--boot-timeout)", m.bootIn))
	defer cancel()
	var machine *vm.Machine
	for tries := 3; ; tries-- {
		var err error
		machine, err = vm.Start(ctx, vm.Options{Kernel: kernel.Vmlinuz(), Image: img, Dir: dir, MemoryMiB: m.memory, CPUs: m.cpus,
			Token: token, Forwards: forwards, Detach: detach})
		if err == nil {
			break
		}
		// Somebody took the control port between our choosing it and QEMU's
		// opening it.
		if tries == 0 || !strings.Contains(err.Error(), "Could not set up host forwarding rule") {
			return nil, err
		}
	}
	a.progress("machine is up, kernel %s", machine.Release)
	return machine, nil
}

// pruneRuns removes the directories of runs that are over, but for the newest
// few, where a console that was pointed out to somebody may be.
func pruneRuns(dir string) error {
	const keep = 3
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list runs: %w", err)
	}
	var over []os.FileInfo
	for _, e := range entries {
		pid, _, _ := strings.Cut(e.Name(), "-")
		n, err := strconv.Atoi(pid)
		if err != nil || processStart(n) != "" {
			continue
		}
		if info, err := e.Info(); err == nil {
			over = append(over, info)
		}
	}
	sort.Slice(over, func(i, j int) bool { return over[i].ModTime().After(over[j].ModTime()) })
	for _, info := range over[min(keep, len(over)):] {
		if err := os.RemoveAll(filepath.Join(dir, info.Name())); err != nil {
			return fmt.Errorf("remove old run: %w", err)
		}
	}
	return nil
}

func newToken() string { return rand.Text() }

// makeDir makes a private directory; one of that name must not be there.
func makeDir(dir string) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return fmt.Errorf("create cache: %w", err)
	}
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("create %s: another heddle-lab is at work there: wait for it, or remove the directory", dir)
	}
	if err != nil {
		return fmt.Errorf("create lab directory: %w", err)
	}
	return nil
}
