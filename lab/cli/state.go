package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"heddle/lab/control"
	"heddle/lab/vm"
)

// labState is what `up` leaves for the commands after it, in lab.json of the
// lab's directory.
type labState struct {
	Mode     string // "vm" or "netns"
	PID      int    // of QEMU or of the serving process
	Started  string // that process's start time, so that a reused PID is noticed
	Address  string // of the control line, TCP on 127.0.0.1
	Token    string
	Topology string
	Kernel   string         // release
	Ports    map[string]int // router -> TCP port of 127.0.0.1 for gNMI
	Created  time.Time

	dir string
}

var labName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,39}$`)

// labFlag adds the option that tells several labs of one user apart.
func labFlag(fs *flag.FlagSet) *string {
	name := "default"
	if env := os.Getenv("HEDDLE_LAB_NAME"); env != "" {
		name = env
	}
	return fs.String("lab", name, "`NAME` of the lab, for more than one at a time")
}

func (a *app) labDir(name string) (string, error) {
	if !labName.MatchString(name) {
		return "", &usageError{fmt.Sprintf("lab name %q cannot be used: take lower-case letters, digits and dashes", name)}
	}
	return filepath.Join(a.cache, "labs", name), nil
}

// errNoLab says that there is nothing to talk to.
type errNoLab struct{ name string }

func (e *errNoLab) Error() string {
	return fmt.Sprintf("find lab %s: it is not up: heddle-lab up l3vpn starts one", e.name)
}

// load reads a lab's state; alive says whether its process still runs.
func (a *app) load(name string) (st *labState, alive bool, err error) {
	dir, err := a.labDir(name)
	if err != nil {
		return nil, false, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "lab.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, &errNoLab{name}
	}
	if err != nil {
		return nil, false, fmt.Errorf("read lab state: %w", err)
	}
	st = &labState{dir: dir}
	if err := json.Unmarshal(text, st); err != nil {
		return nil, false, fmt.Errorf("read lab state in %s: %w: remove the directory", dir, err)
	}
	return st, st.alive(), nil
}

// running returns the state of a lab that runs, or an error that shows why not.
func (a *app) running(name string) (*labState, error) {
	st, alive, err := a.load(name)
	if err != nil {
		return nil, err
	}
	if !alive {
		return nil, st.dead(name)
	}
	return st, nil
}

// dead describes a lab whose process has ended by itself.
func (st *labState) dead(name string) error {
	return errors.Join(fmt.Errorf("talk to lab %s: it has died: heddle-lab down removes what it left", name), vm.LastWords(st.dir))
}

func (st *labState) save() error {
	text, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("save lab state: %w", err)
	}
	tmp := filepath.Join(st.dir, "lab.json.new")
	if err := os.WriteFile(tmp, append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("save lab state: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(st.dir, "lab.json")); err != nil {
		return fmt.Errorf("save lab state: %w", err)
	}
	return nil
}

func (st *labState) client() *control.Client {
	return &control.Client{Network: "tcp", Address: st.Address, Token: st.Token}
}

func (st *labState) alive() bool { return st.Started != "" && processStart(st.PID) == st.Started }

// processStart returns when a process started, in clock ticks since boot, or ""
// for one that has ended.
func processStart(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The command name in parentheses may hold blanks and parentheses.
	i := strings.LastIndexByte(string(text), ')')
	if i < 0 {
		return ""
	}
	fields := strings.Fields(string(text[i+1:]))
	const state, startTime = 0, 19 // fields 3 and 22 of proc(5)
	if len(fields) <= startTime || fields[state] == "Z" {
		return ""
	}
	return fields[startTime]
}
