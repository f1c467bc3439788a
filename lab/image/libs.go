package image

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// libraries finds the shared libraries of executables by reading their dynamic
// sections, so that programs need not be run (as ldd does) to be packed.
type libraries struct{ dirs []string }

func newLibraries() *libraries {
	l := &libraries{dirs: []string{
		"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib", "/usr/local/lib"}}
	confs, _ := filepath.Glob("/etc/ld.so.conf.d/*.conf")
	for _, c := range confs {
		text, err := os.ReadFile(c)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "/") {
				l.dirs = append(l.dirs, line)
			}
		}
	}
	return l
}

// closure returns guest path -> host file of everything the executable loads. A
// library goes to the path it was found at, the loader to the one that is
// written in the executable.
func (l *libraries) closure(program string) (map[string]string, error) {
	out := map[string]string{}
	if err := l.collect(program, out); err != nil {
		return nil, err
	}
	return out, nil
}

func (l *libraries) collect(file string, out map[string]string) error {
	f, err := elf.Open(file)
	if err != nil {
		var format *elf.FormatError
		if errors.As(err, &format) {
			// A script: its interpreter is busybox's or another program's matter.
			return nil
		}
		return err
	}
	defer f.Close()
	if loader := interpreter(f); loader != "" {
		out[loader] = loader
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("read needed libraries of %s: %w", file, err)
	}
	runpath, err := f.DynString(elf.DT_RUNPATH)
	if err != nil {
		return fmt.Errorf("read library path of %s: %w", file, err)
	}
	for _, name := range needed {
		path, err := l.find(name, runpath, filepath.Dir(file))
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		if _, done := out[path]; done {
			continue
		}
		out[path] = path
		if err := l.collect(path, out); err != nil {
			return err
		}
	}
	return nil
}

func interpreter(f *elf.File) string {
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			text := make([]byte, p.Filesz)
			if _, err := p.ReadAt(text, 0); err == nil {
				return strings.TrimRight(string(text), "\x00")
			}
		}
	}
	return ""
}

func (l *libraries) find(name string, runpath []string, origin string) (string, error) {
	var dirs []string
	for _, r := range runpath {
		for _, d := range strings.Split(r, ":") {
			dirs = append(dirs, strings.ReplaceAll(strings.ReplaceAll(d, "${ORIGIN}", origin), "$ORIGIN", origin))
		}
	}
	for _, d := range append(dirs, l.dirs...) {
		p := filepath.Join(d, name)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	return "", fmt.Errorf("find library %s: it is in none of the system's library directories", name)
}

// IsDynamic reports whether an executable needs a loader.
func IsDynamic(file string) (bool, error) {
	f, err := elf.Open(file)
	if err != nil {
		return false, fmt.Errorf("read %s: %w", file, err)
	}
	defer f.Close()
	return interpreter(f) != "", nil
}
