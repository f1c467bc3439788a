package srproxy

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"heddle/bpf"
)

// bpffs is where the file system of pinned programs and maps is mounted.
const bpffs = "/sys/fs/bpf"

// pins is our folder there.
type pins struct{ scope string }

func (p *pins) dir() string { return filepath.Join(bpffs, "heddle", p.scope, "srproxy") }

// there reports whether there may be something of ours.
func (p *pins) there() (bool, error) {
	_, err := os.Stat(p.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// make makes the folder, and mounts the file system if nobody has.
func (p *pins) make() error {
	var st unix.Statfs_t
	if err := unix.Statfs(bpffs, &st); err != nil {
		return fmt.Errorf("%s: %w: use a kernel built with CONFIG_BPF_SYSCALL, with sysfs mounted at /sys", bpffs, err)
	}
	if st.Type != unix.BPF_FS_MAGIC {
		if err := unix.Mount("bpf", bpffs, "bpf", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=700"); err != nil {
			return fmt.Errorf("mount bpf at %s: %w: mount it before the agent starts", bpffs, err)
		}
	}
	if err := os.MkdirAll(p.dir(), 0o700); err != nil {
		return fmt.Errorf("make folder for pinned programs: %w", err)
	}
	return nil
}

// renewMaps loads the programs with new maps in place of those of another version, and
// with the others as they are. What the new ones are to hold is written anew; counters
// start from 0.
func renewMaps(p *pins) (*programs, error) {
	spec, err := bpf.LoadSRProxy()
	if err != nil {
		return nil, err
	}
	for _, name := range pinned {
		file := filepath.Join(p.dir(), name)
		m, err := ebpf.LoadPinnedMap(file, nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("open pinned map %s: %w", name, err)
		}
		if other := spec.Maps[name].Compatible(m); other != nil {
			err = os.Remove(file)
		}
		if err = errors.Join(err, m.Close()); err != nil {
			return nil, fmt.Errorf("replace pinned map %s: %w", name, err)
		}
	}
	c, err := loadPinned(p)
	if err != nil {
		return nil, err
	}
	sids, err := c.allSIDs()
	for _, sid := range sids {
		err = errors.Join(err, c.count(key(sid)))
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// removeAll removes the folder and those above it that are empty then.
func (p *pins) removeAll() error {
	if err := os.RemoveAll(p.dir()); err != nil {
		return fmt.Errorf("remove pinned programs: %w", err)
	}
	for _, dir := range []string{filepath.Dir(p.dir()), filepath.Dir(filepath.Dir(p.dir()))} {
		if os.Remove(dir) != nil {
			break // somebody else's
		}
	}
	return nil
}
