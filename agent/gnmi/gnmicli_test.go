package gnmi_test

import (
	"bufio"
	"context"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gnmiCLI builds the client of openconfig/gnmi, which shares no code with ours: its
// versions of gRPC and protobuf are its own (testdata/gnmi_cli/go.mod).
func gnmiCLI(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "gnmi_cli")
	build := exec.CommandContext(t.Context(), "go", "build", "-C", "testdata/gnmi_cli", "-o", file, "github.com/openconfig/gnmi/cmd/gnmi_cli")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build gnmi_cli: %v\n%s", err, out)
	}
	return file
}

// TestGNMICLI has the client of openconfig/gnmi do everything that it can.
func TestGNMICLI(t *testing.T) {
	cli := gnmiCLI(t)
	tg := start(t, nil)
	seed(tg)
	command := func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), cli, append([]string{"-address", "unix://" + tg.sock, "-insecure"}, args...)...)
	}
	run := func(want string, args ...string) {
		t.Helper()
		out, err := command(args...).CombinedOutput()
		// How many spaces prototext writes is left open.
		if err != nil || !strings.Contains(strings.ReplaceAll(string(out), ":  ", ": "), want) {
			t.Errorf("gnmi_cli %q: %v\n%s\nlacks %s", args, err, out, want)
		}
	}
	elems := func(names ...string) string {
		var b strings.Builder
		for _, n := range names {
			n, key, _ := strings.Cut(n, "=")
			b.WriteString(`elem:{name:"` + n + `"`)
			if key != "" {
				b.WriteString(` key:{key:"name" value:"` + key + `"}`)
			}
			b.WriteString("} ")
		}
		return b.String()
	}
	mtu := elems("interfaces", "interface=a", "config", "mtu")
	run("heddle-interfaces", "-capabilities")
	run(`json_ietf_val: "1400"`, "-get", "-proto", "path:{"+mtu+"} encoding:JSON_IETF")
	run(`uint_val: 1400`, "-get", "-proto", "path:{"+mtu+"} encoding:PROTO type:CONFIG")
	run(`op: UPDATE`, "-set", "-proto", "update:{path:{"+mtu+"} val:{uint_val:1300}}")
	if got := tg.config(ifA + "/config/mtu"); got != "1300" {
		t.Errorf("mtu %s", got)
	}
	run(`op: REPLACE`, "-set", "-proto", "prefix:{target:\"r1\"} replace:{path:{"+mtu+"} val:{json_ietf_val:\"1301\"}} delete:{"+elems("interfaces", "interface=b")+"}")
	run("1301", "-q", "interfaces/interface[name=a]/config/mtu", "-qt", "once", "-t", "r1")
	run("1301", "-q", "interfaces/interface[name=*]/config", "-qt", "polling", "-pi", "1ms", "-c", "1")
	if out, err := command("-set", "-proto", "update:{path:{"+mtu+"} val:{uint_val:1}}").CombinedOutput(); err == nil || !strings.Contains(string(out), "InvalidArgument") {
		t.Errorf("a Set that is refused: %v\n%s", err, out)
	}

	// A stream, until it has shown the change.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stream := exec.CommandContext(ctx, cli, "-address", "unix://"+tg.sock, "-insecure", "-q", "interfaces/interface[name=a]/config/mtu", "-qt", "streaming", "-dt", "single")
	out, err := stream.StdoutPipe()
	must(t, err)
	must(t, stream.Start())
	lines := bufio.NewScanner(out)
	for i, want := range []string{"1301", "1302"} {
		seen := false
		for !seen && lines.Scan() {
			seen = strings.Contains(lines.Text(), want)
		}
		if !seen {
			t.Fatalf("the stream does not show %s: %v", want, lines.Err())
		}
		if i == 0 {
			tg.mustSet(update(ifA+"/config/mtu", "1302"))
		}
	}
	cancel()
	_ = stream.Wait() // it was killed
}
