package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"heddle/lab/control"
	"heddle/lab/image"
)

// runFlags are the options of run.
type runFlags struct {
	machineFlags
	bins    listFlag
	files   listFlag
	env     listFlag
	out     string
	timeout time.Duration
}

func (a *app) run(ctx context.Context, args []string) error {
	root, err := repoRoot()
	if err != nil {
		return err
	}
	var o runFlags
	fs := a.flags("run", "--bin X.test[,Y.test] [options] [-- ARGUMENTS]")
	o.register(fs, root)
	fs.Var(&o.bins, "bin", "static test `BINARIES` to run one after the other, each with the arguments")
	fs.Var(&o.files, "files", "`SRC[:DST]`: a file or directory to have at DST in the tests' working directory; may be repeated")
	fs.Var(&o.env, "env", "`KEY=VALUE` for the tests; may be repeated")
	fs.StringVar(&o.out, "out", "", "`DIRECTORY` to copy to what the tests left in $HEDDLE_OUT")
	fs.DurationVar(&o.timeout, "timeout", 15*time.Minute, "how long all binaries together may take")
	words, rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) > 0 || len(o.bins) == 0 {
		return &usageError{"run wants --bin X.test[,Y.test] and the tests' arguments after --"}
	}
	tests, err := o.testFiles()
	if err != nil {
		return err
	}
	if a.netns {
		return a.runHere(ctx, &o, tests, rest)
	}
	return a.runVM(ctx, &o, tests, rest)
}

// testFiles returns path in the working directory -> absolute file.
func (o *runFlags) testFiles() (map[string]string, error) {
	tests := map[string]string{}
	add := func(name, file string) error {
		abs, err := filepath.Abs(file)
		if err == nil {
			_, err = os.Stat(abs)
		}
		if err != nil {
			return fmt.Errorf("find %s for the machine: %w", name, err)
		}
		if tests[name] != "" {
			return &usageError{fmt.Sprintf("two files are called %s", name)}
		}
		tests[name] = abs
		return nil
	}
	for _, b := range o.bins {
		if dynamic, err := image.IsDynamic(b); err == nil && dynamic {
			return nil, fmt.Errorf("take %s into the machine: it is not static: build it with CGO_ENABLED=0 go test -c", b)
		}
		if err := add(filepath.Base(b), b); err != nil {
			return nil, err
		}
	}
	for _, f := range o.files {
		src, dst, ok := strings.Cut(f, ":")
		if !ok {
			dst = filepath.Base(src)
		}
		if !filepath.IsLocal(dst) {
			return nil, &usageError{fmt.Sprintf("--files %s: the target must stay in the tests' working directory", f)}
		}
		if err := add(dst, src); err != nil {
			return nil, err
		}
	}
	return tests, nil
}

func (a *app) runVM(ctx context.Context, o *runFlags, tests map[string]string, args []string) error {
	bins, _, err := binaries(o.binDir)
	if err != nil {
		return err
	}
	kernel, img, err := a.prepare(ctx, &o.machineFlags, bins, tests)
	if err != nil {
		return err
	}
	if err := pruneRuns(filepath.Join(a.cache, "runs")); err != nil {
		return err
	}
	dir := filepath.Join(a.cache, "runs", fmt.Sprintf("%d-%s", os.Getpid(), newToken()[:6]))
	if err := makeDir(dir); err != nil {
		return err
	}
	keep := false
	defer func() {
		if !keep {
			os.RemoveAll(dir)
		}
	}()
	token := newToken()
	machine, err := a.boot(ctx, &o.machineFlags, kernel, img, dir, token, nil, false)
	if err != nil {
		return err
	}
	defer machine.Kill()
	// Ends the commands as soon as the machine dies.
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the tests were not done after %s (--timeout)", o.timeout))
	defer cancel()
	client := &control.Client{Network: "tcp", Address: fmt.Sprintf("127.0.0.1:%d", machine.ControlPort), Token: token}
	runOne := func(ctx context.Context, name string) (int, error) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		go func() {
			select {
			case <-machine.Done():
				cancel(machine.Died())
			case <-ctx.Done():
			}
		}()
		code, err := client.Exec(ctx, control.Request{Argv: append([]string{filepath.Join(image.TestDir, name)}, args...),
			Dir: image.TestDir, Env: append([]string{"HEDDLE_OUT=" + image.TestDir + "/out"}, o.env...)},
			control.Streams{Stdout: a.stdout, Stderr: a.stderr})
		var lost *control.LostError
		if errors.As(err, &lost) && machine.EndsWithin(2*time.Second) {
			err = machine.Died()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return code, err
	}
	err = a.runAll(ctx, o, runOne)
	if o.out != "" {
		err = errors.Join(err, copyOut(ctx, client, image.TestDir+"/out", o.out))
	}
	select {
	case <-machine.Done():
		keep = true
	default:
	}
	return err
}

// copyOut fetches the tests' files; that they left none is no error.
func copyOut(ctx context.Context, client *control.Client, from, to string) error {
	if code, err := client.Exec(ctx, control.Request{Argv: []string{"test", "-e", from}}, control.Streams{}); err != nil || code != 0 {
		return err
	}
	return client.CopyOut(ctx, from, to)
}

// runAll runs the binaries in order and goes on after one that fails; the error
// carries the first exit code that was not 0.
func (a *app) runAll(ctx context.Context, o *runFlags, runOne func(context.Context, string) (int, error)) error {
	first := 0
	for _, b := range o.bins {
		name := filepath.Base(b)
		start := time.Now()
		a.progress("running %s", name)
		code, err := runOne(ctx, name)
		if err != nil {
			return fmt.Errorf("run %s: %w", name, err)
		}
		a.progress("%s ended with exit code %d after %.1f s", name, code, time.Since(start).Seconds())
		if first == 0 {
			first = code
		}
	}
	if first != 0 {
		return &codeError{first}
	}
	return nil
}

// runHere runs the binaries on this machine's kernel, in a directory that looks
// as it would in a virtual machine.
func (a *app) runHere(ctx context.Context, o *runFlags, tests map[string]string, args []string) error {
	if os.Geteuid() != 0 {
		return errors.New("run tests in namespaces: this needs root: use sudo, or leave LAB=netns out")
	}
	dir, err := os.MkdirTemp("", "heddle-lab-run-")
	if err != nil {
		return fmt.Errorf("create working directory: %w", err)
	}
	defer os.RemoveAll(dir)
	for name, file := range tests {
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return fmt.Errorf("create working directory: %w", err)
		}
		if err := os.Symlink(file, to); err != nil {
			return fmt.Errorf("fill working directory: %w", err)
		}
	}
	// What a test that is cut short leaves in its temporary directory goes too.
	tmp := filepath.Join(dir, "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("create working directory: %w", err)
	}
	out := filepath.Join(dir, "out")
	if o.out != "" {
		if out, err = filepath.Abs(o.out); err != nil {
			return fmt.Errorf("find %s: %w", o.out, err)
		}
	}
	binDir, err := filepath.Abs(o.binDir)
	if err != nil {
		return fmt.Errorf("find binaries: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("the tests were not done after %s (--timeout)", o.timeout))
	defer cancel()
	err = a.runAll(ctx, o, func(ctx context.Context, name string) (int, error) {
		cmd := exec.CommandContext(ctx, filepath.Join(dir, name), args...)
		cmd.Dir, cmd.Stdout, cmd.Stderr = dir, a.stdout, a.stderr
		cmd.Env = append(os.Environ(), "LAB=netns", "TMPDIR="+tmp, "HEDDLE_OUT="+out, "PATH="+binDir+":"+os.Getenv("PATH"))
		cmd.Env = append(cmd.Env, o.env...)
		err := cmd.Run()
		var ended *exec.ExitError
		switch {
		case ctx.Err() != nil:
			return 0, context.Cause(ctx)
		case errors.As(err, &ended) && ended.ExitCode() >= 0:
			return ended.ExitCode(), nil
		}
		return 0, err
	})
	if ctx.Err() != nil {
		// A test that was cut short had no time to tear its lab down.
		err = errors.Join(err, a.sweep())
	}
	return err
}
