package srproxy

import (
	"errors"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"heddle/kernel/kerneltest"
)

// TestRefused: of a program that the verifier does not take the client has one line, and
// the operator what the verifier said.
func TestRefused(t *testing.T) {
	kerneltest.Namespace(t)
	_, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.LoadMem(asm.R0, asm.R1, 4096, asm.Word), // beyond the packet's context
		asm.Return(),
	}})
	if err == nil {
		t.Fatal("the kernel takes a program that reads out of bounds")
	}
	v, ok := errors.AsType[*VerifierError](refused(err))
	if !ok {
		t.Fatalf("not told from other errors: %v", err)
	}
	if text := v.Error(); strings.Contains(text, "\n") || !strings.Contains(text, "verifier") || !errors.Is(v, v.Err) {
		t.Errorf("the client is told %q", text)
	}
	if !strings.Contains(v.Log, "invalid bpf_context access off=4096") || strings.Count(v.Log, "\n") < 2 {
		t.Errorf("the operator is told %q", v.Log)
	}
}
