package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const hostLog = `{"Action":"output","Package":"heddle/kernel/rtnl","Test":"TestVRF","Output":"    vrf_test.go:10: needs vrf: operation not supported\n"}
{"Action":"output","Package":"heddle/kernel/rtnl","Test":"TestVRF","Output":"--- SKIP: TestVRF (0.00s)\n"}
{"Action":"skip","Package":"heddle/kernel/rtnl","Test":"TestVRF"}
not json
{"Action":"pass","Package":"heddle/kernel/rtnl","Test":"TestRoute"}
{"Action":"pass","Package":"heddle/kernel/rtnl"}
`

func TestAudit(t *testing.T) {
	tests := []struct {
		name, labLog string
		code         int
		want         []string
	}{
		{"ran in the lab", `{"Action":"pass","Package":"heddle/kernel/rtnl","Test":"TestVRF"}`, 0,
			[]string{"skipped: heddle/kernel/rtnl TestVRF on host: needs vrf: operation not supported", "2 passed, 0 failed, 1 skipped"}},
		{"ran nowhere", `{"Action":"skip","Package":"heddle/kernel/rtnl","Test":"TestVRF"}`, 1,
			[]string{"RAN NOWHERE: heddle/kernel/rtnl TestVRF on lab-6.1: no reason given", "1 tests were skipped on every kernel"}},
		{"a scenario", `{"Action":"output","Package":"p","Test":"T/x","Output":"SKIP T/x: kernel 6.1 has vrf: boot without\n"}
{"Action":"output","Package":"p","Test":"T/x","Output":"        > lacks vrf\n"}
{"Action":"skip","Package":"p","Test":"T/x"}
{"Action":"pass","Package":"heddle/kernel/rtnl","Test":"TestVRF"}`, 1,
			[]string{"RAN NOWHERE: p T/x on lab-6.1: kernel 6.1 has vrf: boot without"}},
		{"failed", `{"Action":"fail","Package":"heddle/kernel/rtnl","Test":"TestVRF"}`, 1, []string{"1 passed, 1 failed, 1 skipped"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "host.json"), hostLog)
			write(t, filepath.Join(dir, "lab-6.1.json"), tt.labLog)
			var out, errOut bytes.Buffer
			if code := run([]string{dir}, &out, &errOut); code != tt.code {
				t.Errorf("exit code %d, want %d; %s", code, tt.code, errOut.String())
			}
			for _, w := range tt.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q:\n%s", w, out.String())
				}
			}
		})
	}
}

func TestNoLogsIsAnError(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run([]string{t.TempDir()}, &out, &errOut); code != 2 || !strings.Contains(errOut.String(), "there are none") {
		t.Errorf("exit code %d, message %q", code, errOut.String())
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
