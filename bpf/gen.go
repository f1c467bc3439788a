// Package bpf holds the programs that Heddle loads into the kernel, as sources in C
// and as what clang has made of them, so that nobody needs clang to build Heddle.
//
// After a change of a source `make bpf` builds them anew (clang 14, Debian's, and
// libbpf-dev); a test tells when that was forgotten. The kernel gives them the
// layout of its own types at load time (CO-RE), so one build serves all kernels.
package bpf

//go:generate go tool bpf2go -tags linux -target bpfel,bpfeb -type sid -type row -type counters SRProxy srproxy.c -- -O2 -Wall -ffile-prefix-map=$PWD=. -Werror -I/usr/include/x86_64-linux-gnu
//go:generate sh -c "sha256sum ethernet.h masquerade.h srproxy.c srproxy.h > sources.sum"
