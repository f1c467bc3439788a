package srproxy

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"

	"heddle/bpf"
)

// settled is how old a folder of pins is before it is looked at: a younger one may be in
// the making.
const settled = time.Minute

// sweep removes what is pinned for network namespaces that are gone: with them went the
// links, and with those what our programs were attached to. It leaves what is younger
// than an age, and the folder with the name except. An agent that is killed while it
// finds out what the kernel can do leaves such a folder, too.
func sweep(except string, age time.Duration) error {
	root := filepath.Join(bpffs, "heddle")
	folders, err := os.ReadDir(root)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range folders {
		if f.Name() != except {
			p := pins{scope: f.Name()}
			errs = append(errs, p.sweep(age))
		}
	}
	return errors.Join(errs...)
}

// sweep removes the folder if it is of this age and nothing of it is attached.
func (p *pins) sweep(age time.Duration) error {
	info, err := os.Stat(p.dir())
	if errors.Is(err, os.ErrNotExist) || err == nil && time.Since(info.ModTime()) < age {
		return nil
	}
	if err != nil {
		return err
	}
	if alive, err := p.alive(); err != nil || alive {
		return err
	}
	return p.removeAll()
}

// alive reports whether any of the programs that are pinned, or that use the maps that
// are, is attached to a link.
func (p *pins) alive() (bool, error) {
	files, err := os.ReadDir(p.dir())
	if err != nil {
		return false, err
	}
	linked := false
	for _, f := range files {
		if !strings.HasPrefix(f.Name(), "heddle_") {
			continue
		}
		l, err := link.LoadPinnedLink(filepath.Join(p.dir(), f.Name()), nil)
		if err != nil {
			return false, err
		}
		linked = true
		gone := defunct(l)
		if err := l.Close(); err != nil || !gone {
			return !gone, err
		}
	}
	if linked {
		return false, nil
	}
	m, err := ebpf.LoadPinnedMap(filepath.Join(p.dir(), bpf.SRProxyMapSids), nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer m.Close()
	return used(m)
}

// used reports whether a program of the kernel's uses a map: the filters of clsact hold
// theirs, and nothing else does that no process has loaded.
func used(m *ebpf.Map) (bool, error) {
	info, err := m.Info()
	if err != nil {
		return false, err
	}
	id, _ := info.ID()
	for next := ebpf.ProgramID(0); ; {
		if next, err = ebpf.ProgramGetNextID(next); errors.Is(err, os.ErrNotExist) {
			return false, nil
		} else if err != nil {
			return false, err
		}
		p, err := ebpf.NewProgramFromID(next)
		if errors.Is(err, os.ErrNotExist) {
			continue // gone meanwhile
		}
		if err != nil {
			return false, err
		}
		by, err := p.Info()
		if err = errors.Join(err, p.Close()); err != nil {
			return false, err
		}
		if maps, _ := by.MapIDs(); slices.Contains(maps, id) {
			return true, nil
		}
	}
}
