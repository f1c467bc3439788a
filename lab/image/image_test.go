package image

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// readCPIO is a small reader of our own, so that the format is checked against
// its description and not against the writer.
func readCPIO(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	pad := func(n int) int { return (n + 3) &^ 3 }
	for at := 0; ; {
		head := string(archive[at : at+110])
		if head[:6] != "070701" {
			t.Fatalf("at %d: no header: %q", at, head[:6])
		}
		field := func(i int) int {
			n, err := strconv.ParseUint(head[6+8*i:14+8*i], 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			return int(n)
		}
		mode, size, nameLen := field(1), field(6), field(11)
		name := string(archive[at+110 : at+110+nameLen-1])
		body := at + pad(110+nameLen)
		if name == "TRAILER!!!" {
			return out
		}
		out[name] = fmt.Sprintf("%o %s", mode, archive[body:body+size])
		at = body + pad(size)
	}
}

func TestArchive(t *testing.T) {
	src := t.TempDir()
	if err := os.WriteFile(src+"/prog", []byte("12345"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(src+"/tree/sub", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(src+"/tree/sub/f", []byte("f"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub/f", src+"/tree/link"); err != nil {
		t.Fatal(err)
	}
	b := NewBuilder()
	b.Text("/etc/a", "x\n", 0o600)
	b.Link("/bin/sh", "/bin/busybox")
	b.Dir("/proc", 0o555)
	for to, from := range map[string]string{"/usr/bin/prog": "prog", "/data": "tree"} {
		if err := b.Tree(to, filepath.Join(src, from)); err != nil {
			t.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if err := b.Write(&buf); err != nil {
		t.Fatal(err)
	}
	got := readCPIO(t, buf.Bytes())
	want := map[string]string{
		"etc": "40755 ", "etc/a": "100600 x\n", "bin": "40755 ", "bin/sh": "120777 /bin/busybox", "proc": "40555 ",
		"usr": "40755 ", "usr/bin": "40755 ", "usr/bin/prog": "100750 12345",
		"data": "40755 ", "data/sub": "40755 ", "data/sub/f": "100644 f", "data/link": "120777 sub/f",
	}
	for name, w := range want {
		if got[name] != w {
			t.Errorf("%s: %q, want %q", name, got[name], w)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d entries, want %d: %v", len(got), len(want), got)
	}
}

func TestHashFollowsContent(t *testing.T) {
	src := t.TempDir() + "/f"
	write := func(text string) {
		if err := os.WriteFile(src, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	hash := func(path string) string {
		b := NewBuilder()
		if err := b.File(path, src); err != nil {
			t.Fatal(err)
		}
		h, err := b.Hash()
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	write("one")
	first := hash("/f")
	if again := hash("/f"); again != first {
		t.Error("the same content has two hashes")
	}
	if hash("/g") == first {
		t.Error("another path has the same hash")
	}
	write("two")
	if hash("/f") == first {
		t.Error("another content has the same hash")
	}
}

func TestSaveAndPrune(t *testing.T) {
	dir := t.TempDir() + "/images"
	var files []string
	for i := range 3 {
		b := NewBuilder()
		b.Text("/n", fmt.Sprint(i), 0o644)
		file, made, err := b.Save(dir)
		if err != nil || !made {
			t.Fatalf("%v %v", made, err)
		}
		if again, made, err := b.Save(dir); err != nil || made || again != file {
			t.Errorf("second save: %s %v %v", again, made, err)
		}
		when := time.Now().Add(time.Duration(i-10) * time.Minute)
		if err := os.Chtimes(file, when, when); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if err := Prune(dir, 2); err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(dir + "/*")
	if len(left) != 2 {
		t.Errorf("left: %v", left)
	}
	if _, err := os.Stat(files[0]); !os.IsNotExist(err) {
		t.Errorf("the oldest is still there: %v", err)
	}
}

func TestMissingSourceIsNamed(t *testing.T) {
	err := NewBuilder().File("/usr/local/bin/heddled", "/no/such/heddled")
	if err == nil || !strings.Contains(err.Error(), "add /usr/local/bin/heddled to image") || !strings.Contains(err.Error(), "/no/such/heddled") {
		t.Errorf("got %v", err)
	}
}

func TestLibraries(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if dynamic, err := IsDynamic(sh); err != nil || !dynamic {
		t.Skipf("this machine's shell is static (%v)", err)
	}
	b := NewBuilder()
	if err := b.Program("/bin/sh", sh); err != nil {
		t.Fatal(err)
	}
	var libc, loader bool
	for p := range b.entries {
		libc = libc || strings.Contains(p, "libc.so")
		loader = loader || strings.Contains(p, "/ld-")
	}
	if !libc || !loader {
		t.Errorf("libc %v, loader %v in %v", libc, loader, b.paths())
	}
	if dynamic, err := IsDynamic(t.TempDir()); err == nil {
		t.Errorf("a directory is dynamic: %v", dynamic)
	}
}

func TestModuleNames(t *testing.T) {
	for file, want := range map[string]string{
		"kernel/net/x/ip6_gre.ko": "ip6_gre", "a/ghash-generic.ko.xz": "ghash_generic", "nf-x.ko.zst": "nf_x",
	} {
		if got := moduleName(file); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestParseModinfo(t *testing.T) {
	for info, want := range map[string]string{
		"license=GPL\x00depends=a,b-c\x00name=x\x00": "a b-c",
		"license=GPL\x00depends=\x00name=x\x00":      "",
		"license=GPL\x00":                            "",
		"":                                           "",
	} {
		if got := strings.Join(parseModinfo([]byte(info)), " "); got != want {
			t.Errorf("%q: %q, want %q", info, got, want)
		}
	}
}

func TestModulesThatAreNotThere(t *testing.T) {
	dir := t.TempDir()
	_, err := NewBuilder().AddModules(dir)
	if err == nil || !strings.Contains(err.Error(), "add module virtio_pci") {
		t.Errorf("an empty kernel: %v", err)
	}
	if err := os.WriteFile(dir+"/modules.builtin", []byte("kernel/virtio_pci.ko\nkernel/virtio_net.ko\nkernel/veth.ko\nkernel/vrf.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := NewBuilder().AddModules(dir, "vrf"); err == nil || !strings.Contains(err.Error(), "leave out module vrf") {
		t.Errorf("without a module that is built in: %v", err)
	}
	missing, err := NewBuilder().AddModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	text := " " + strings.Join(missing, " ") + " "
	if !strings.Contains(text, " dummy ") || strings.Contains(text, " vrf ") {
		t.Errorf("missing: %s", text)
	}
}
