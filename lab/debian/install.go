package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Need is a program the lab runs or puts into images, and the package it is in.
type Need struct {
	Program string // looked up in PATH and the sbin directories
	Package string
}

// FindProgram looks a program up in PATH and in the sbin directories, which are
// not in everybody's PATH.
func FindProgram(name string) (string, error) {
	if p, err := exec.LookPath(name); err == nil {
		return p, nil
	}
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
		if p, err := exec.LookPath(dir + name); err == nil {
			return p, nil
		}
	}
	return "", fmt.Errorf("find program %s: %w", name, exec.ErrNotFound)
}

// Ensure installs the packages of programs that are missing. It says what it
// installs on progress; without the right to, the error says what to run.
func Ensure(ctx context.Context, needs []Need, progress func(format string, args ...any)) error {
	var packages, programs []string
	for _, n := range needs {
		if _, err := FindProgram(n.Program); err != nil {
			packages = append(packages, n.Package)
			programs = append(programs, n.Program)
		}
	}
	if len(packages) == 0 {
		return nil
	}
	command := "apt-get install -y --no-install-recommends " + strings.Join(packages, " ")
	if os.Geteuid() != 0 {
		return fmt.Errorf("find %s: not on this machine: run, as root: %s", strings.Join(programs, ", "), command)
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("find %s: not on this machine, and there is no apt-get to install them with: install the equivalents of Debian's %s",
			strings.Join(programs, ", "), strings.Join(packages, " "))
	}
	progress("installing %s (%s)", strings.Join(packages, ", "), command)
	args := strings.Fields(command)
	err := runQuiet(ctx, args[0], args[1:]...)
	if err != nil {
		progress("that did not work; refreshing the package lists and trying again")
		err = runQuiet(ctx, "apt-get", "update")
		if err == nil {
			err = runQuiet(ctx, args[0], args[1:]...)
		}
	}
	if err != nil {
		return fmt.Errorf("install %s: %w", strings.Join(packages, ", "), err)
	}
	for _, n := range needs {
		if _, err := FindProgram(n.Program); err != nil {
			return fmt.Errorf("package %s is installed and yet: %w", n.Package, err)
		}
	}
	return nil
}

// runQuiet runs a command whose output only matters when it fails.
func runQuiet(ctx context.Context, name string, args ...string) error {
	_, err := output(ctx, name, args...)
	return err
}

func output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(err, ctx.Err())
		}
		text := strings.TrimSpace(stderr.String())
		if text == "" {
			text = strings.TrimSpace(stdout.String())
		}
		return stdout.String(), fmt.Errorf("run %s: %w\n    %s", name, err, strings.ReplaceAll(text, "\n", "\n    "))
	}
	return stdout.String(), nil
}
