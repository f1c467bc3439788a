package sysctl

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/reconcile"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func testDriver(t *testing.T) *Driver {
	t.Helper()
	kerneltest.Namespace(t)
	d, err := Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func do(d *Driver, s reconcile.Step) reconcile.Result {
	return d.Do(context.Background(), []reconcile.Step{s})[0]
}

// TestOwnNamespace writes from a thread elsewhere: only the driver's namespace
// changes.
func TestOwnNamespace(t *testing.T) {
	d := testDriver(t)
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil { // the driver stays behind
		t.Fatal(err)
	}
	on := object.Sysctl{Name: object.SysctlForward6, Value: "1"}
	if r := do(d, reconcile.Step{New: on}); r.Err != nil || !on.Equal(r.Got) {
		t.Fatalf("%v, %v", r.Err, r.Got)
	}
	here, err := os.ReadFile("/proc/sys/" + on.Name)
	if err != nil || strings.TrimSpace(string(here)) != "0" {
		t.Errorf("the thread's own namespace has %q, %v", here, err)
	}
	got, err := d.Dump(context.Background(), object.KindSysctl)
	if err != nil || len(got) != 1 || !on.Equal(got[0]) {
		t.Errorf("dump %v, %v", got, err)
	}
}

func TestRefusals(t *testing.T) {
	d := testDriver(t)
	for _, c := range []struct {
		name, value, says string
	}{
		{"net/ipv6/conf/nowhere/seg6_enabled", "1", "link nowhere does not exist"},
		{"net/ipv4/no_such_thing", "1", "no parameter net/ipv4/no_such_thing"},
		{"net/ipv4/../../../etc/passwd", "1", "not a path below"},
		{"/etc/passwd", "1", "not a path below"},
		{object.SysctlForward6, "banana", "banana"}, // Linux 6.1 takes it and stays at 0: the read-back tells
	} {
		r := do(d, reconcile.Step{New: object.Sysctl{Name: c.name, Value: c.value}})
		if r.Err == nil || !strings.Contains(r.Err.Error(), c.says) {
			t.Errorf("%s=%s: %v, expected %q", c.name, c.value, r.Err, c.says)
		}
	}
	if now, err := read(object.SysctlForward6); err != nil || now != "0" {
		t.Errorf("a refused value left %q, %v", now, err)
	}
	if got, err := d.Dump(context.Background(), object.KindSysctl); err != nil || len(got) != 0 {
		t.Errorf("refused ones are ours: %v, %v", got, err)
	}
	err := d.Check(context.Background(), []reconcile.Step{{New: object.Sysctl{Name: "net/ipv4/no_such_thing", Value: "1"}}})
	var se *reconcile.StepError
	var missing *MissingError
	if !errors.As(err, &se) || !errors.As(err, &missing) {
		t.Errorf("check: %v", err)
	}
}

// TestLinksOfTheirOwn: the kernel copies forwarding to every link; those that
// stood apart get back what they had, unless somebody has changed it since.
func TestLinksOfTheirOwn(t *testing.T) {
	for _, c := range []struct{ name, conf string }{
		{object.SysctlForward4, "net/ipv4/conf/"}, {object.SysctlForward6, "net/ipv6/conf/"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := testDriver(t)
			// lo is a link like any other here.
			for _, link := range []string{"lo", "default"} {
				if _, err := write(c.conf+link+"/forwarding", "1"); err != nil {
					t.Fatal(err)
				}
			}
			on := object.Sysctl{Name: c.name, Value: "1"}
			if r := do(d, reconcile.Step{New: on}); r.Err != nil {
				t.Fatal(r.Err)
			}
			if _, err := write(c.conf+"default/forwarding", "0"); err != nil {
				t.Fatal(err)
			}
			if r := do(d, reconcile.Step{Old: on}); r.Err != nil {
				t.Fatal(r.Err)
			}
			for p, want := range map[string]string{c.name: "0", c.conf + "lo/forwarding": "1", c.conf + "default/forwarding": "0"} {
				if got, err := read(p); err != nil || got != want {
					t.Errorf("%s is %s (%v), want %s", p, got, err, want)
				}
			}
		})
	}
}

// TestStrictModeWithoutVRF: the remedy names the module.
func TestStrictModeWithoutVRF(t *testing.T) {
	d := testDriver(t)
	if _, err := os.Stat("/proc/sys/" + object.SysctlStrictMode); err == nil {
		t.Skip("this kernel has the module vrf")
	}
	strict := reconcile.Step{New: object.Sysctl{Name: object.SysctlStrictMode, Value: "1"}}
	err := d.Check(context.Background(), []reconcile.Step{strict})
	if err == nil || !strings.Contains(err.Error(), "modprobe vrf") {
		t.Errorf("check: %v", err)
	}
	vrf := reconcile.Step{New: object.Link{Name: "blue", Type: object.LinkVRF, Table: 110}}
	if err := d.Check(context.Background(), []reconcile.Step{vrf, strict}); err != nil {
		t.Errorf("check of a plan that makes a vrf: %v", err)
	}
}
