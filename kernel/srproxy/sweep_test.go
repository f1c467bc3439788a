package srproxy

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// victimScope, in the environment, makes this test the process that is killed.
const victimScope = "HEDDLE_TEST_SCOPE"

// TestSweep: what a process has pinned for a network namespace goes when it is killed and
// the namespace is gone, and not before, whichever way the programs were attached.
func TestSweep(t *testing.T) {
	if scope := os.Getenv(victimScope); scope != "" {
		victim(t, scope)
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root: makes a network namespace")
	}
	for _, clsact := range []bool{false, true} {
		t.Run(fmt.Sprintf("clsact=%t", clsact), func(t *testing.T) {
			p := pins{scope: fmt.Sprintf("probe-%d-%t", os.Getpid(), clsact)}
			child := exec.Command(os.Args[0], "-test.run=^TestSweep$")
			child.Env = append(os.Environ(), victimScope+"="+p.scope)
			child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
			said, err := child.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdin, err := child.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			defer stdin.Close()
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(said).ReadString('\n')
			if strings.TrimSpace(line) != "attached" {
				t.Errorf("the child says %q (%v)", line, err)
			}
			if err := p.sweep(0); err != nil {
				t.Error(err)
			}
			if there, err := p.there(); err != nil || !there {
				t.Errorf("the pins of a process that lives: %t, %v", there, err)
			}
			if err := child.Process.Kill(); err != nil {
				t.Error(err)
			}
			if err := child.Wait(); err == nil {
				t.Error("the child was not killed")
			}
			sweepDead(t, p)
		})
	}
}

// victim attaches a program in the namespace of this process, and waits to be killed.
func victim(t *testing.T, scope string) {
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "nf"}, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	d, err := Open(Config{Scope: scope, Clsact: strings.HasSuffix(scope, "true")})
	if err != nil {
		t.Fatal(err)
	}
	ad := dynamic(ad4, object.InnerIPv4)
	ad.In = "nf"
	if r := d.Do(t.Context(), []reconcile.Step{{New: ad}}); r[0].Err != nil {
		t.Fatal(r[0].Err)
	}
	fmt.Println("attached")
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// sweepDead waits until the kernel has taken the namespace apart, which it does when it
// has time.
func sweepDead(t *testing.T, p pins) {
	t.Helper()
	end, tick := time.NewTimer(20*time.Second), time.NewTicker(10*time.Millisecond)
	defer end.Stop()
	defer tick.Stop()
	for alive := true; alive; {
		var err error
		if alive, err = p.alive(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatal("the programs of a namespace that is gone live on")
		}
	}
	if err := p.sweep(time.Hour); err != nil {
		t.Fatal(err)
	}
	if there, err := p.there(); err != nil || !there {
		t.Fatalf("pins that may be in the making: %t, %v", there, err)
	}
	if err := p.sweep(0); err != nil {
		t.Fatal(err)
	}
	if there, err := p.there(); err != nil || there {
		t.Errorf("the pins of a namespace that is gone: %t, %v", there, err)
	}
}
