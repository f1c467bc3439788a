package srproxy

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/kernel/prior"
)

// role is what a program does on a link.
type role string

// The roles, which are also the names of what is attached.
const (
	roleToNF       role = "heddle_to_nf"
	roleBack       role = "heddle_back"
	roleMasquerade role = "heddle_masquerade"
	roleUnmask     role = "heddle_unmask"
)

// egress reports whether a program sees what goes out by a link.
func (r role) egress() bool { return r == roleMasquerade }

// roleOf is the role of the program of a port.
func roleOf(p object.ProxyPort) role { return roleOfPort[p.Role] }

var roleOfPort = [...]role{object.PortSIDs: roleToNF, object.PortMasquerade: roleMasquerade, object.PortUnmask: roleUnmask}

// hook attaches programs to links, in front of those of others, which are asked for
// every packet that is left to them. Its functions are called on a
// thread in the namespace.
type hook interface {
	// attach puts a program in its place, instead of an older one of the same role.
	attach(index int, p *ebpf.Program, r role) error

	// detach takes it away. What is not there is no error.
	detach(index int, r role) error

	// has reports whether a link has a program.
	has(index int, r role) (bool, error)

	// list gives the links that have a program, by role.
	list() (map[role][]int, error)

	// renew replaces programs of another version.
	renew(held map[role][]int, by map[role]*ebpf.Program) error
}

// hasTCX reports whether the kernel takes programs by tcx, by trying it on the
// loopback link with one that leaves everything alone there.
func hasTCX(p *ebpf.Program) bool {
	const loopback = 1
	l, err := link.AttachTCX(link.TCXOptions{Interface: loopback, Program: p, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return false
	}
	_ = l.Close()
	return true
}

// tcx attaches by links of bpf (Linux 6.6), which are pinned.
type tcx struct{ dir func() string }

func (t tcx) pin(index int, r role) string {
	return filepath.Join(t.dir(), string(r)+"-"+strconv.Itoa(index))
}

func (t tcx) attach(index int, p *ebpf.Program, r role) error {
	file := t.pin(index, r)
	if old, err := link.LoadPinnedLink(file, nil); err == nil {
		defer old.Close()
		if !defunct(old) {
			return update(old, p)
		}
		if err := old.Unpin(); err != nil {
			return err
		}
	}
	at := ebpf.AttachTCXIngress
	if r.egress() {
		at = ebpf.AttachTCXEgress
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: p, Attach: at, Anchor: link.Head()})
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Pin(file); err != nil {
		return fmt.Errorf("pin program: %w", err)
	}
	return nil
}

// defunct reports whether the kernel's link of a program is gone.
func defunct(l link.Link) bool {
	info, err := l.Info()
	return err != nil || info.TCX() == nil || info.TCX().Ifindex == 0
}

// update puts another program in the place of one, if it is another.
func update(l link.Link, p *ebpf.Program) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	same, err := sameCode(info.Program, p)
	if err != nil || same {
		return err
	}
	return l.Update(p)
}

// sameCode reports whether the program with an id has the same instructions.
func sameCode(id ebpf.ProgramID, p *ebpf.Program) (bool, error) {
	there, err := ebpf.NewProgramFromID(id)
	if err != nil {
		return false, err
	}
	defer there.Close()
	a, err := there.Info()
	if err != nil {
		return false, err
	}
	b, err := p.Info()
	if err != nil {
		return false, err
	}
	mapsA, _ := a.MapIDs()
	mapsB, _ := b.MapIDs()
	return a.Tag == b.Tag && sharesMaps(mapsA, mapsB), nil
}

// sharesMaps reports whether two programs use the same pinned maps: all but the
// scratch space, which each load has of its own.
func sharesMaps(a, b []ebpf.MapID) bool {
	common := 0
	for _, x := range a {
		for _, y := range b {
			if x == y {
				common++
			}
		}
	}
	return common >= len(b)-1
}

func (t tcx) detach(index int, r role) error {
	l, err := link.LoadPinnedLink(t.pin(index, r), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOLINK) {
		return fmt.Errorf("detach program: %w", err)
	}
	return l.Unpin()
}

func (t tcx) has(index int, r role) (bool, error) {
	l, err := link.LoadPinnedLink(t.pin(index, r), nil)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.Close()
	return !defunct(l), nil
}

func (t tcx) list() (map[role][]int, error) {
	held := map[role][]int{}
	files, err := os.ReadDir(t.dir())
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name, number, ok := strings.Cut(f.Name(), "-")
		index, err := strconv.Atoi(number)
		if !ok || err != nil || filterHandle[role(name)] == 0 { // a map, or a role that a newer version has
			continue
		}
		l, err := link.LoadPinnedLink(filepath.Join(t.dir(), f.Name()), nil)
		if err != nil {
			return nil, fmt.Errorf("open pinned %s: %w", f.Name(), err)
		}
		gone := defunct(l)
		if gone {
			err = l.Unpin() // its link is gone
		}
		if err = errors.Join(err, l.Close()); err != nil {
			return nil, err
		}
		if !gone {
			held[role(name)] = append(held[role(name)], index)
		}
	}
	return held, nil
}

func (t tcx) renew(held map[role][]int, by map[role]*ebpf.Program) error {
	for r, indexes := range held {
		for _, index := range indexes {
			if err := t.attach(index, by[r], r); err != nil {
				return err
			}
		}
	}
	return nil
}

// clsact attaches by filters of tc. The kernel keeps them with the link.
type clsact struct {
	net    *netlink.Handle
	record *prior.Store // of the qdiscs that we have made
}

const propQueue = "tx-queue-len"

func madeKey(index int) object.Key {
	return object.Key{Kind: object.KindProxyPort, ID: "clsact/" + strconv.Itoa(index)}
}

func clsactOf(index int) netlink.Qdisc {
	return &netlink.GenericQdisc{QdiscType: "clsact", QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index, Parent: netlink.HANDLE_CLSACT, Handle: netlink.MakeHandle(0xffff, 0)}}
}

// What our filters are called. The number is that of our routes' protocol. Priorities
// are tried from the first to the last.
const (
	filterPriority = 1
	lastPriority   = 16
)

var filterHandle = map[role]uint32{roleToNF: 0x48001, roleBack: 0x48002, roleMasquerade: 0x48003, roleUnmask: 0x48004}

// parent is where clsact has the filters of a role.
func (r role) parent() uint32 {
	if r.egress() {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

func (c clsact) filter(index int, r role) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index, Parent: r.parent(), Handle: filterHandle[r],
			Protocol: unix.ETH_P_ALL, Priority: filterPriority,
		},
		Name: string(r), DirectAction: true,
	}
}

func (c clsact) attach(index int, p *ebpf.Program, r role) error {
	there, err := c.find(index, r)
	if err != nil {
		return err
	}
	if there != nil {
		same, err := sameCode(ebpf.ProgramID(there.Id), p)
		if err != nil || same {
			return err
		}
	}
	// A qdisc gives a link without a queue one of 1000 packets (qdisc_create in
	// net/sched/sch_api.c).
	l, err := c.net.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("read link: %w", err)
	}
	switch err := c.net.QdiscAdd(clsactOf(index)); {
	case err == nil:
		made := prior.Entry{Key: madeKey(index), Ifindex: int32(index), Before: map[string]string{propQueue: strconv.Itoa(l.Attrs().TxQLen)}}
		if err := c.record.Put(made); err != nil {
			return errors.Join(err, c.net.QdiscDel(clsactOf(index)))
		}
	case !errors.Is(err, unix.EEXIST):
		return fmt.Errorf("add qdisc clsact: %w: use a kernel built with CONFIG_NET_CLS_ACT", err)
	}
	f := c.filter(index, r)
	f.Fd = p.FD()
	if there != nil {
		f.Priority = there.Priority
	}
	// A priority is of one protocol and one kind of filter (tc_new_tfilter in
	// net/sched/cls_api.c): where that is somebody else's we are behind it.
	for err = c.net.FilterReplace(f); errors.Is(err, unix.EINVAL) && there == nil && f.Priority < lastPriority; err = c.net.FilterReplace(f) {
		f.Priority++
	}
	if err != nil {
		return fmt.Errorf("attach program: %w: use a kernel built with CONFIG_NET_CLS_BPF, and leave one of the priorities %d to %d to filters of bpf", err, filterPriority, lastPriority)
	}
	return nil
}

// find is our filter on a link, nil where there is none.
func (c clsact) find(index int, r role) (*netlink.BpfFilter, error) {
	all, err := c.filters(index, r.parent())
	for _, f := range all {
		if b, ok := f.(*netlink.BpfFilter); ok && b.Name == string(r) {
			return b, nil
		}
	}
	return nil, err
}

func (c clsact) filters(index int, parent uint32) ([]netlink.Filter, error) {
	all, err := c.net.FilterList(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}, parent)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENODEV) { // no qdisc, no link
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read filters: %w", err)
	}
	return all, nil
}

func (c clsact) detach(index int, r role) error {
	there, err := c.find(index, r)
	if err != nil || there == nil {
		return err
	}
	if err := c.net.FilterDel(there); err != nil {
		return fmt.Errorf("detach program: %w", err)
	}
	// The qdisc goes if we have made it and nobody else has moved in.
	made, ours := c.record.Get(madeKey(index))
	if !ours {
		return nil
	}
	for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		if left, err := c.filters(index, parent); err != nil || len(left) > 0 {
			return err
		}
	}
	if err := c.net.QdiscDel(clsactOf(index)); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("remove qdisc clsact: %w", err)
	}
	if length, err := strconv.Atoi(made.Before[propQueue]); err == nil {
		if err := c.net.LinkSetTxQLen(&netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Index: index}}, length); err != nil {
			return fmt.Errorf("give back length of the queue: %w", err)
		}
	}
	return c.record.Delete(madeKey(index))
}

func (c clsact) has(index int, r role) (bool, error) {
	there, err := c.find(index, r)
	return there != nil, err
}

func (c clsact) list() (map[role][]int, error) {
	held := map[role][]int{}
	links, err := c.net.LinkList()
	if err != nil {
		return nil, fmt.Errorf("read links: %w", err)
	}
	for _, l := range links {
		for _, parent := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
			all, err := c.filters(l.Attrs().Index, parent)
			if err != nil {
				return nil, err
			}
			for _, f := range all {
				if b, ok := f.(*netlink.BpfFilter); ok && filterHandle[role(b.Name)] != 0 {
					held[role(b.Name)] = append(held[role(b.Name)], l.Attrs().Index)
				}
			}
		}
	}
	return held, nil
}

func (c clsact) renew(held map[role][]int, by map[role]*ebpf.Program) error {
	for r, indexes := range held {
		for _, index := range indexes {
			if err := c.attach(index, by[r], r); err != nil {
				return err
			}
		}
	}
	return nil
}
