package debian

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestChooseMirror(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"after an update", `http://mirror.example/debian-security/|Debian|bookworm-security|bookworm-security|main
http://mirror.example/debian/|Debian|bookworm|bookworm|main`, "http://mirror.example/debian/"},
		{"before one", `http://mirror.example/debian/|$(ORIGIN)|$(CODENAME)|bookworm|main`, "http://mirror.example/debian/"},
		{"others first", `https://packages.example/node|Node|nodistro|nodistro|main
https://packages.example/x/|. x|x|/|main
http://mirror.example/pub/debian/|Debian|trixie|trixie|contrib
http://mirror.example/pub/debian/|Debian|trixie|trixie|main`, "http://mirror.example/pub/debian/"},
		{"an origin of another name, no update yet", `http://cache.example/x|$(ORIGIN)|$(CODENAME)|stable|main`, ""},
		{"none", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := chooseMirror(tc.in)
			if got != tc.want || (err == nil) != (tc.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestFindSource(t *testing.T) {
	for name, suite := range map[string]string{"6.1": "bookworm", "6.12": "trixie", "sid": "sid", "7.x": "sid", "suite:forky": "forky"} {
		s, err := FindSource(name)
		if err != nil || s.Suites[0] != suite {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	for _, name := range []string{"5.10", "", "suite:", "suite:../x", "suite:a b"} {
		if s, err := FindSource(name); err == nil || !strings.Contains(err.Error(), "the lab knows 6.1, 6.12, sid") {
			t.Errorf("%q: %+v %v", name, s, err)
		}
	}
}

func TestEnsure(t *testing.T) {
	silent := func(format string, args ...any) { t.Errorf("said: "+format, args...) }
	if err := Ensure(context.Background(), []Need{{"sh", "dash"}}, silent); err != nil {
		t.Errorf("a program that is there: %v", err)
	}
	if os.Geteuid() == 0 {
		// Root would have it installed.
		if err := syscall.Seteuid(65534); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := syscall.Seteuid(0); err != nil {
				t.Fatal(err)
			}
		}()
	}
	err := Ensure(context.Background(), []Need{{"no-such-program", "no-such-package"}}, silent)
	if err == nil || !strings.Contains(err.Error(), "run, as root: apt-get install -y --no-install-recommends no-such-package") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// fakeKernel puts what a fetch leaves into a cache.
func fakeKernel(t *testing.T, s *Store, name, image string) {
	t.Helper()
	k := Kernel{Name: name, Release: "6.1.0-9-cloud-amd64", Version: "6.1.9-1", Suite: "bookworm", Dir: filepath.Join(s.kernelsDir(), "k")}
	path := filepath.Join(k.Dir, fmt.Sprintf(image, k.Release))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("kernel"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.record(k); err != nil {
		t.Fatal(err)
	}
}

func TestStore(t *testing.T) {
	for _, image := range []string{"boot/vmlinuz-%s", "usr/lib/modules/%s/vmlinuz", "lib/modules/%s/vmlinuz"} {
		s := &Store{Dir: t.TempDir(), Progress: t.Logf}
		fakeKernel(t, s, "6.1", image)
		src, err := FindSource("6.1")
		if err != nil {
			t.Fatal(err)
		}
		k, err := s.Get(context.Background(), src, false) // no network: it is cached
		if err != nil || k.Release != "6.1.0-9-cloud-amd64" {
			t.Fatalf("%s: %+v %v", image, k, err)
		}
		if _, err := os.Stat(k.Vmlinuz()); err != nil {
			t.Errorf("%s: %v", image, err)
		}
		moved := s.Dir + "-moved"
		if err := os.Rename(s.Dir, moved); err != nil {
			t.Fatal(err)
		}
		if k, ok := (&Store{Dir: moved}).Cached("6.1"); !ok || !strings.HasPrefix(k.Dir, moved) {
			t.Errorf("after moving the cache: %+v %v", k, ok)
		}
		if list, err := (&Store{Dir: moved}).List(); err != nil || len(list) != 1 {
			t.Errorf("list: %v %v", list, err)
		}
		if err := os.Remove((Kernel{Release: k.Release, Dir: filepath.Join(moved, "kernels/k")}).Vmlinuz()); err != nil {
			t.Fatal(err)
		}
		if _, ok := (&Store{Dir: moved}).Cached("6.1"); ok {
			t.Errorf("%s: a kernel without its image counts as cached", image)
		}
		os.RemoveAll(moved)
	}
}

func TestBrokenIndexIsNoKernel(t *testing.T) {
	s := &Store{Dir: t.TempDir()}
	if err := os.MkdirAll(s.kernelsDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.indexPath("6.1"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if k, ok := s.Cached("6.1"); ok {
		t.Errorf("got %+v", k)
	}
}

func TestMirrorOptions(t *testing.T) {
	if got := (mirror{SignedBy: "/k.gpg"}).options(); got != "[signed-by=/k.gpg] " {
		t.Errorf("%q", got)
	}
	if got := (mirror{}).options(); got != "" {
		t.Errorf("%q", got)
	}
}
