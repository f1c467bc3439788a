package image

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ModuleList is where an image names its modules, one path a line, each after
// those it depends on.
const ModuleList = "/etc/heddle-lab/modules"

// wantedModules are loaded at boot when the kernel has them as modules. What a
// kernel has neither built in nor as a module is left out; scenarios probe.
func wantedModules() []string {
	return strings.Fields(`
		virtio_pci virtio_net virtio_rng virtio_blk
		veth vrf dummy ifb 8021q bridge tun vxlan
		ip_gre ip6_gre ip_vti ip6_vti ip6_tunnel sit
		xfrm_user xfrm_interface esp4 esp6 af_key
		seqiv echainiv authenc gcm ghash_generic ctr cbc hmac sha256_generic
		sch_ingress sch_prio sch_htb sch_netem cls_bpf cls_flower cls_matchall cls_u32 act_mirred act_bpf act_gact act_police
		mpls_router mpls_iptunnel ila
		nf_tables nft_chain_nat nft_nat nft_objref nft_ct nf_conntrack nft_fib_inet
		af_packet af_packet_diag inet_diag tcp_diag udp_diag netlink_diag unix_diag veth netkit`)
}

// requiredModules are those without which the lab does not work at all.
func requiredModules() []string { return []string{"virtio_pci", "virtio_net", "veth"} }

// moduleName is the kernel's own spelling.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// moduleSet knows the modules of a kernel by name.
type moduleSet struct {
	files   map[string]string // name -> file
	builtin map[string]bool
}

func readModuleSet(dir string) (*moduleSet, error) {
	s := &moduleSet{files: map[string]string{}, builtin: map[string]bool{}}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && strings.Contains(d.Name(), ".ko") {
			s.files[moduleName(p)] = p
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list kernel modules: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list builtin modules: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		s.builtin[moduleName(strings.TrimSpace(line))] = true
	}
	return s, nil
}

// AddModules adds the wanted modules of the kernel whose modules are in dir,
// with what they depend on, and the list of them in loading order. It returns
// the names the kernel does not have. Modules in without are left out, as if the
// kernel had been built without them; one that is built in cannot be.
func (b *Builder) AddModules(dir string, without ...string) (missing []string, err error) {
	set, err := readModuleSet(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range without {
		if set.files[name] == "" || slices.Contains(requiredModules(), name) {
			return nil, fmt.Errorf("leave out module %s: kernel in %s has no such module, or the lab cannot run without", name, dir)
		}
		delete(set.files, name)
	}
	for _, name := range requiredModules() {
		if set.files[name] == "" && !set.builtin[name] {
			return nil, fmt.Errorf("add module %s: kernel in %s does not have it, and the lab cannot run without", name, dir)
		}
	}
	var order []string
	done := map[string]bool{}
	for _, name := range wantedModules() {
		if set.files[name] == "" {
			if !set.builtin[name] {
				missing = append(missing, name)
			}
			continue
		}
		if err := set.visit(name, done, &order); err != nil {
			return nil, err
		}
	}
	var list strings.Builder
	for _, name := range order {
		file := set.files[name]
		guest := path.Join("/lib/modules", name+".ko")
		unpack, err := decompressor(file)
		if err != nil {
			return nil, err
		}
		b.dirs(guest)
		b.entries[guest] = entry{mode: 0o644, source: file, unpack: unpack}
		fmt.Fprintln(&list, guest)
	}
	b.Text(ModuleList, list.String(), 0o644)
	return missing, nil
}

// visit appends name to order after everything it depends on.
func (s *moduleSet) visit(name string, done map[string]bool, order *[]string) error {
	if done[name] || s.builtin[name] {
		return nil
	}
	done[name] = true
	file := s.files[name]
	if file == "" {
		return fmt.Errorf("add module %s: another depends on it and the kernel package does not have it", name)
	}
	depends, err := moduleDepends(file)
	if err != nil {
		return fmt.Errorf("read module %s: %w", name, err)
	}
	for _, d := range depends {
		if err := s.visit(strings.ReplaceAll(d, "-", "_"), done, order); err != nil {
			return err
		}
	}
	*order = append(*order, name)
	return nil
}

// moduleDepends reads the names in a module's own .modinfo section; the package
// has no modules.dep, which depmod makes at installation.
func moduleDepends(file string) ([]string, error) {
	unpack, err := decompressor(file)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := (entry{source: file, unpack: unpack}).copyTo(&buf, true); err != nil {
		return nil, err
	}
	f, err := elf.NewFile(bytes.NewReader(buf.Bytes()))
	if err != nil {
		return nil, err
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("it has no .modinfo section")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return parseModinfo(info), nil
}

func parseModinfo(info []byte) []string {
	for field := range bytes.SplitSeq(info, []byte{0}) {
		if list, ok := bytes.CutPrefix(field, []byte("depends=")); ok && len(list) > 0 {
			return strings.Split(string(list), ",")
		}
	}
	return nil
}

// decompressor names the program for a module file's compression, or "".
func decompressor(file string) (string, error) {
	switch ext := filepath.Ext(file); ext {
	case ".ko":
		return "", nil
	case ".xz":
		return "xz", nil
	case ".zst":
		return "zstd", nil
	case ".gz":
		return "gzip", nil
	default:
		return "", fmt.Errorf("read module %s: compression %s is not known", file, ext)
	}
}

func decompress(w io.Writer, program, file string) error {
	var stderr strings.Builder
	cmd := exec.Command(program, "-dc", file)
	cmd.Stdout, cmd.Stderr = w, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("decompress %s with %s: %w: %s", file, program, err, strings.TrimSpace(stderr.String()))
	}
	return nil
}
