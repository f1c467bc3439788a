// Package netlab turns a topology into network namespaces, veth pairs and agent
// processes, and takes all of it away again. The same code runs in the lab's
// virtual machine and, for LAB=netns, on a developer's own kernel. It serves
// lab/control, lab/cli and lab/scenario; it must not know about virtual machines,
// gNMI, or what an agent configures.
package netlab

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"heddle/lab/topology"
)

// Config says where a lab puts things.
type Config struct {
	// Prefix stands before node names in namespace names. On a machine that is
	// shared with others it must not be empty.
	Prefix string
	// RunDir holds NODE/gnmi.sock, StateDir NODE/ and LogDir NODE.log.
	RunDir, StateDir, LogDir string
	// AgentProgram is the agent's executable, looked up in PATH when it has no
	// slash. It is started as the flags of agentArgs say.
	AgentProgram string
	// AgentReadyIn bounds the time from start to a socket that answers.
	AgentReadyIn time.Duration
	Log          *slog.Logger
}

// VMConfig is the configuration used inside the virtual machine, where nothing
// can clash: namespaces carry the bare node names.
func VMConfig(log *slog.Logger) Config {
	return Config{RunDir: "/run/heddle", StateDir: "/var/lib/heddle", LogDir: "/var/log/heddle",
		AgentProgram: "heddled", AgentReadyIn: 60 * time.Second, Log: log}
}

// HostConfig is the configuration used on a developer's machine: as in the
// virtual machine, but namespaces are called heddle-NODE.
func HostConfig(log *slog.Logger) Config {
	cfg := VMConfig(log)
	cfg.Prefix = "heddle-"
	cfg.AgentReadyIn = 20 * time.Second
	return cfg
}

// Lab is one topology on one kernel. Its methods may be called concurrently.
type Lab struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	topo     *topology.Topology
	agents   map[string]*agent
	forwards []*forward
	lock     *os.File
}

// New returns a lab without a topology.
func New(cfg Config) *Lab {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Lab{cfg: cfg, agents: map[string]*agent{}}
}

// Topology returns what Up built, or nil.
func (l *Lab) Topology() *topology.Topology {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topo
}

// Up builds a topology. What an earlier lab that died left behind, and what this
// one has up, is removed first; when a step does not succeed, what was
// built is removed and the error says which step it was.
func (l *Lab) Up(ctx context.Context, t *topology.Topology) error {
	if err := l.Down(); err != nil {
		return err
	}
	leftovers, err := l.acquire()
	if err != nil {
		return err
	}
	if err := l.removeNodes(append(leftovers, t.NodeNames()...)); err != nil {
		return errors.Join(err, l.release())
	}
	if err := l.recordNodes(t.NodeNames()); err != nil {
		return errors.Join(err, l.release())
	}
	l.mu.Lock()
	l.topo = t
	l.mu.Unlock()
	if err := l.build(ctx, t); err != nil {
		return errors.Join(fmt.Errorf("bring up topology %s: %w", t.Name, err), l.Down())
	}
	return nil
}

// acquire takes the machine-wide lock of the run directory, so that two labs
// never work on the same namespaces. The lock file holds the process and the
// nodes of the lab; those of a lab that died without tearing down are returned.
func (l *Lab) acquire() (leftovers []string, err error) {
	if err := os.MkdirAll(l.cfg.RunDir, 0o755); err != nil {
		return nil, fmt.Errorf("create run directory: %w", err)
	}
	path := filepath.Join(l.cfg.RunDir, "lab.lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	text, err := io.ReadAll(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read lock: %w", err)
	}
	words := append(strings.Fields(string(text)), "0")
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: another lab is up here (process %s): take it down first, with heddle-lab down", path, words[0])
	}
	l.mu.Lock()
	l.lock = f
	l.mu.Unlock()
	return words[1:max(1, len(words)-1)], nil
}

// recordNodes notes in the lock file what has to be removed should this process
// die.
func (l *Lab) recordNodes(nodes []string) error {
	l.mu.Lock()
	f := l.lock
	l.mu.Unlock()
	text := fmt.Sprintf("%d %s\n", os.Getpid(), strings.Join(nodes, " "))
	if err := errors.Join(f.Truncate(0), writeAt(f, text)); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	return nil
}

func writeAt(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

func (l *Lab) release() error {
	l.mu.Lock()
	f := l.lock
	l.lock = nil
	l.mu.Unlock()
	if f == nil {
		return nil
	}
	// Remove while the lock is held: whoever waits opens a new file.
	return errors.Join(os.Remove(f.Name()), f.Close())
}

// removeNodes takes away nodes of these names, whoever made them, with their
// processes and files. Names that are not there are no error.
func (l *Lab) removeNodes(nodes []string) error {
	var errs []error
	for _, node := range nodes {
		if _, err := os.Lstat(filepath.Join(nsDir, l.NSName(node))); err == nil {
			l.cfg.Log.Info("remove a node left by an earlier lab", "namespace", l.NSName(node))
		}
		errs = append(errs, removeNode(l.NSName(node)))
		errs = append(errs, l.removeFiles(node)...)
	}
	return errors.Join(errs...)
}

// Sweep removes what a lab left whose process died before it could tear down:
// the nodes it had noted, with their processes and files, and nothing else. While
// a lab is up it is refused.
func (l *Lab) Sweep() error {
	nodes, err := l.acquire()
	if err != nil {
		return err
	}
	err = l.removeNodes(nodes)
	return errors.Join(err, l.release(), l.removeDirs())
}

func (l *Lab) build(ctx context.Context, t *topology.Topology) error {
	for _, n := range t.Nodes {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := createNS(l.NSName(n.Name)); err != nil {
			return err
		}
	}
	for _, link := range t.Links {
		if err := l.wire(link); err != nil {
			return fmt.Errorf("wire %s: %w", link, err)
		}
	}
	for _, n := range t.Nodes {
		if err := l.configure(t, n); err != nil {
			return fmt.Errorf("configure node %s: %w", n.Name, err)
		}
	}
	return nil
}

// wire makes the pair directly inside the two namespaces, so that no name of
// ours ever appears in the root namespace.
func (l *Lab) wire(link topology.Link) error {
	a, err := netns.GetFromName(l.NSName(link.A.Node))
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer a.Close()
	b, err := netns.GetFromName(l.NSName(link.B.Node))
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer b.Close()
	h, err := netlink.NewHandleAt(a, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	attrs := netlink.NewLinkAttrs()
	attrs.Name = link.A.Interface
	veth := &netlink.Veth{LinkAttrs: attrs, PeerName: link.B.Interface, PeerNamespace: netlink.NsFd(int(b))}
	if err := h.LinkAdd(veth); err != nil {
		return fmt.Errorf("create veth: %w", err)
	}
	return nil
}

func (l *Lab) configure(t *topology.Topology, n topology.Node) error {
	ns, err := netns.GetFromName(l.NSName(n.Name))
	if err != nil {
		return fmt.Errorf("open namespace: %w", err)
	}
	defer ns.Close()
	if len(n.Sysctls) > 0 {
		if err := inNS(ns, func() error { return setSysctls(n.Sysctls) }); err != nil {
			return err
		}
	}
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink: %w", err)
	}
	defer h.Close()
	up := []string{"lo"}
	for _, link := range t.Links {
		for _, e := range []topology.End{link.A, link.B} {
			if e.Node == n.Name {
				up = append(up, e.Interface)
			}
		}
	}
	for _, name := range up {
		link, err := h.LinkByName(name)
		if err != nil {
			return fmt.Errorf("find interface %s: %w", name, err)
		}
		if err := h.LinkSetUp(link); err != nil {
			return fmt.Errorf("set %s up: %w", name, err)
		}
	}
	return configureHost(h, n)
}

func configureHost(h *netlink.Handle, n topology.Node) error {
	for _, iface := range n.Interfaces {
		link, err := h.LinkByName(iface.Name)
		if err != nil {
			return fmt.Errorf("find interface %s: %w", iface.Name, err)
		}
		for _, p := range iface.Addresses {
			addr := &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
			if p.Addr().Is6() {
				// Nobody else is on the wire: no need to wait for duplicate
				// address detection before the first packet.
				addr.Flags = unix.IFA_F_NODAD
			}
			if err := h.AddrAdd(link, addr); err != nil {
				return fmt.Errorf("add address %s to %s: %w", p, iface.Name, err)
			}
		}
	}
	for _, r := range n.Routes {
		route := &netlink.Route{Gw: r.Via.AsSlice(),
			Dst: &net.IPNet{IP: r.To.Addr().AsSlice(), Mask: net.CIDRMask(r.To.Bits(), r.To.Addr().BitLen())}}
		if err := h.RouteAdd(route); err != nil {
			return fmt.Errorf("add route to %s via %s: %w", r.To, r.Via, err)
		}
	}
	return nil
}

func setSysctls(sysctls []topology.Sysctl) error {
	for _, s := range sysctls {
		path := "/proc/sys/" + strings.ReplaceAll(s.Name, ".", "/")
		if err := os.WriteFile(path, []byte(s.Value), 0o644); err != nil {
			return fmt.Errorf("set sysctl %s to %q: %w", s.Name, s.Value, err)
		}
	}
	return nil
}

// Down removes everything Up and the agents made: processes, links, namespaces,
// sockets, state and logs. It goes on after an error and returns all of them;
// a lab that is not up is no error.
func (l *Lab) Down() error {
	l.mu.Lock()
	topo := l.topo
	forwards := l.forwards
	l.forwards = nil
	l.mu.Unlock()
	if topo == nil {
		return nil
	}
	var errs []error
	for _, f := range forwards {
		errs = append(errs, f.close())
	}
	for _, n := range topo.Nodes {
		if l.agentOf(n.Name) != nil {
			errs = append(errs, l.KillAgent(n.Name))
		}
	}
	for _, n := range topo.Nodes {
		errs = append(errs, removeNode(l.NSName(n.Name)))
		errs = append(errs, l.removeFiles(n.Name)...)
	}
	l.mu.Lock()
	l.topo = nil
	l.agents = map[string]*agent{}
	l.mu.Unlock()
	errs = append(errs, l.release())
	errs = append(errs, l.removeDirs())
	return errors.Join(errs...)
}

// removeDirs removes the lab's directories, but only those that are empty: on a
// machine of somebody's own there may be other things in them.
func (l *Lab) removeDirs() error {
	var errs []error
	for _, dir := range []string{l.cfg.RunDir, l.cfg.StateDir, l.cfg.LogDir} {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("remove %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

func (l *Lab) removeFiles(node string) []error {
	return []error{
		os.RemoveAll(filepath.Join(l.cfg.RunDir, node)),
		os.RemoveAll(filepath.Join(l.cfg.StateDir, node)),
		os.RemoveAll(l.LogPath(node)),
	}
}

// removeNode ends the processes in a namespace, deletes its veths and then the
// namespace. The kernel frees a namespace some time after its last user; with
// the veths deleted first nothing of ours is to be seen in the meantime.
func removeNode(name string) error {
	path := filepath.Join(nsDir, name)
	if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ns, err := netns.GetFromPath(path)
	if err != nil {
		return fmt.Errorf("open namespace %s: %w", name, err)
	}
	defer ns.Close()
	h, err := netlink.NewHandleAt(ns, unix.NETLINK_ROUTE)
	if err != nil {
		// A name whose namespace is gone (the mount did not survive).
		return deleteNS(name)
	}
	defer h.Close()
	if err := killIn(name, 10*time.Second); err != nil {
		return err
	}
	links, err := h.LinkList()
	if err != nil {
		return fmt.Errorf("list links of %s: %w", name, err)
	}
	for _, link := range links {
		if link.Type() != "veth" {
			continue
		}
		if err := h.LinkDel(link); err != nil && !errors.Is(err, unix.ENODEV) {
			return fmt.Errorf("delete %s in %s: %w", link.Attrs().Name, name, err)
		}
	}
	return deleteNS(name)
}
