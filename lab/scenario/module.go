package scenario

import (
	"errors"
	"fmt"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// moduleDir is where the machine's image has its modules.
const moduleDir = "/lib/modules"

// cmdUnload: unload MODULE takes a module out of the machine's kernel until the
// scenario ends. The machine has no modprobe: the kernel cannot load it by
// itself.
func (s *session) cmdUnload(c call) error {
	if len(c.args) != 1 {
		return &usageError{"unload MODULE"}
	}
	name := c.args[0]
	if !s.vm {
		return &skipError{fmt.Sprintf("unload %s: only in a virtual machine: this kernel serves others, too", name)}
	}
	file := path.Join(moduleDir, name+".ko")
	if _, err := os.Stat(file); err != nil {
		return &skipError{fmt.Sprintf("unload %s: it is no module of kernel %s but built in", name, kernelRelease())}
	}
	if err := unix.DeleteModule(name, unix.O_NONBLOCK); err != nil {
		return fmt.Errorf("unload %s: %w", name, err)
	}
	s.unloaded = append(s.unloaded, file)
	return nil
}

// reload brings back what the scenario unloaded, for those that follow.
func (s *session) reload() error {
	var errs []error
	for _, file := range s.unloaded {
		f, err := os.Open(file)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil {
			errs = append(errs, fmt.Errorf("load %s: %w", file, err))
		}
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
