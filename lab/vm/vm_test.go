package vm

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestArguments(t *testing.T) {
	args := strings.Join(Options{Kernel: "/k", Image: "/i", MemoryMiB: 512, CPUs: 3, Forwards: []Forward{{57403, 57403}}}.arguments(4444), " ")
	for _, want := range []string{
		"-cpu max,-la57,-cx16", "-no-reboot", "oops=panic", "panic=-1", "-smp 3", "-m 512", "-kernel /k", "-initrd /i",
		"hostfwd=tcp:127.0.0.1:4444-:7000", "hostfwd=tcp:127.0.0.1:57403-:57403", "restrict=on",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
}

func TestCrashPart(t *testing.T) {
	boring := strings.Repeat("[ 0.1] boring\r\n", 100)
	got := crashPart(boring + "[ 1.0] Kernel panic - not syncing: x\r\n[ 1.1] last\r\n")
	if got != "[ 1.0] Kernel panic - not syncing: x\n[ 1.1] last" {
		t.Errorf("panic: %q", got)
	}
	if got := crashPart(boring); strings.Count(got, "\n") != 59 {
		t.Errorf("no panic: %d lines", strings.Count(got, "\n")+1)
	}
	if got := crashPart("BUG: a\n" + boring); strings.Count(got, "\n") != 59 || !strings.HasPrefix(got, "BUG: a") {
		t.Errorf("long crash: %q", got)
	}
}

func TestLastWords(t *testing.T) {
	dir := t.TempDir()
	if err := LastWords(dir); err != nil {
		t.Errorf("nothing there: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, ConsoleFile), []byte("Oops: 0000\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, qemuLog), []byte("could not set up\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := LastWords(dir)
	for _, want := range []string{"| Oops: 0000", "| could not set up", ConsoleFile} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in %v", want, err)
		}
	}
}

// A QEMU that cannot even start is reported at once and with its own words.
func TestStartSaysWhatQEMUSaid(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("no QEMU here: heddle-lab installs it on first use")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	m, err := Start(ctx, Options{Kernel: "/no/such/kernel", Image: "/no/such/image", Dir: t.TempDir(), MemoryMiB: 64, CPUs: 1})
	if err == nil {
		m.Kill()
		t.Fatal("it started")
	}
	if ctx.Err() != nil || !strings.Contains(err.Error(), "/no/such/kernel") {
		t.Errorf("got %v", err)
	}
}

func TestStartGivesUpInTime(t *testing.T) {
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("no QEMU here: heddle-lab installs it on first use")
	}
	why := errors.New("out of patience")
	ctx, cancel := context.WithTimeoutCause(context.Background(), 500*time.Millisecond, why)
	defer cancel()
	// Any file will do for a machine that must not come up: its firmware
	// refuses it and waits.
	file := filepath.Join(t.TempDir(), "not-a-kernel")
	if err := os.WriteFile(file, make([]byte, 16<<10), 0o644); err != nil {
		t.Fatal(err)
	}
	m, err := Start(ctx, Options{Kernel: file, Image: file, Dir: t.TempDir(), MemoryMiB: 64, CPUs: 1})
	if err == nil {
		m.Kill()
		t.Fatal("it started")
	}
	if !errors.Is(err, why) && !strings.Contains(err.Error(), "qemu") {
		t.Errorf("got %v", err)
	}
}

func TestTiedProcess(t *testing.T) {
	cmd := exec.Command("sleep", "100")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if err := startProcess(cmd, true); err != nil {
		t.Fatal(err)
	}
	if cmd.SysProcAttr.Pdeathsig != syscall.SIGKILL {
		t.Error("it would outlive us")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
}
