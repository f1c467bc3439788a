package srproxy

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"heddle/kernel/object"
)

// BenchmarkPrograms is the time of the programs alone for a packet, as the kernel
// measures it (BPF_PROG_TEST_RUN).
func BenchmarkPrograms(b *testing.B) {
	kernel := newBench(b)
	forward := outer(ad4, 9, srh(4, 1, inner4(9), ad4, next))
	static := outer(as4, 9, srh(4, 1, inner4(9), as4, next))
	for _, c := range []struct {
		name    string
		proxy   *object.Proxy
		program *ebpf.Program
		in      packet
	}{
		{"another", dynamic(ad4, object.InnerIPv4), kernel.code.toNF, outer(next, 9, srh(4, 1, inner4(9), ad4, next))},
		{"ad-to-nf", dynamic(ad4, object.InnerIPv4), kernel.code.toNF, forward},
		{"ad-back", dynamic(ad4, object.InnerIPv4), kernel.code.back, append(ethernet(0x0800), inner4(9)...)},
		{"as-to-nf", fixed(as4), kernel.code.toNF, static},
		{"as-back", fixed(as4), kernel.code.back, append(ethernet(0x0800), inner4(9)...)},
	} {
		b.Run(c.name, func(b *testing.B) {
			kernel.t = b
			kernel.add(c.proxy)
			if c.proxy.Behavior == object.EndAD {
				kernel.run(kernel.code.toNF, forward) // so that there are headers
			}
			var took time.Duration
			for b.Loop() {
				// Once each: the programs change the packet.
				_, t, err := c.program.Benchmark(c.in, 1, nil)
				if err != nil {
					b.Fatal(err)
				}
				took += t
			}
			b.ReportMetric(float64(took)/float64(b.N), "kernel-ns/packet")
		})
	}
}
