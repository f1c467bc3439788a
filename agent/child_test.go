package agent

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// childEnv has this test binary, started again, be another agent: its value is
// the state directory.
const childEnv = "HEDDLE_TEST_AGENT_WITHOUT_CAPABILITY"

// runAsChild runs an agent that may not configure the network, and prints what
// it says. It reports false if this process is no child.
func runAsChild() bool {
	dir := os.Getenv(childEnv)
	if dir == "" {
		return false
	}
	runtime.LockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	err := unix.Capget(&hdr, &data[0])
	if err == nil {
		data[0].Effective &^= 1 << unix.CAP_NET_ADMIN
		err = unix.Capset(&hdr, &data[0])
	}
	if err != nil {
		fmt.Println("drop capability:", err)
		return true
	}
	fmt.Println(Run(context.Background(), Config{StateDir: dir, Unix: dir + "/gnmi.sock"}))
	return true
}

// agentWithoutCapability is what an agent says that may not configure the
// network of the calling thread.
func agentWithoutCapability(t *testing.T, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return strings.TrimSpace(string(out))
}
