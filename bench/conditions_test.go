package bench

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkConditions keeps what the figures depend on: the machine, and how
// busy it is with other things.
func BenchmarkConditions(b *testing.B) {
	once(b)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		b.Fatal(err)
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		b.Fatal(err)
	}
	version, err := exec.Command("ip", "-V").Output()
	if err != nil {
		b.Skip("needs iproute2 to compare with")
	}
	release, _, _ := strings.Cut(unix.ByteSliceToString(u.Release[:]), "-")
	record(b, Result{Name: "conditions", Text: fmt.Sprintf("Linux %s, %d cores, %s, %s; %s; load average at the start %s",
		release, runtime.NumCPU(), runtime.Version(), strings.TrimSpace(string(version)),
		time.Now().UTC().Format("2006-01-02 15:04 MST"), strings.Join(strings.Fields(string(load))[:3], " "))})
	b.Log(strings.TrimSpace(string(load)))
}
