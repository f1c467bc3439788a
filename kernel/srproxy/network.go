package srproxy

import (
	"errors"
	"fmt"

	"github.com/vishvananda/netlink"
)

// network is the links of the namespace, as far as somebody has asked for them, for as
// long as one call of the driver lasts.
type network struct {
	links   *netlink.Handle
	byName  map[string]netlink.Link // nil: there is none
	byIndex map[int]netlink.Link
	all     bool
}

func (d *Driver) network() *network {
	return &network{d.links, map[string]netlink.Link{}, map[int]netlink.Link{}, false}
}

// readAll reads all links at once, for who asks for all of them.
func (n *network) readAll() error {
	all, err := n.links.LinkList()
	if err != nil {
		return fmt.Errorf("read links: %w", err)
	}
	for _, l := range all {
		n.byName[l.Attrs().Name], n.byIndex[l.Attrs().Index] = l, l
	}
	n.all = true
	return nil
}

// named is a link, nil if there is none.
func (n *network) named(name string) (netlink.Link, error) {
	l, asked := n.byName[name]
	if asked || n.all {
		return l, nil
	}
	l, err := n.links.LinkByName(name)
	return n.keep(l, err, name, 0)
}

// index is the number of a link, 0 if there is none.
func (n *network) index(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	l, err := n.named(name)
	if err != nil || l == nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// numbered is the name of the link with a number; false: there is none.
func (n *network) numbered(index int) (string, bool, error) {
	l, asked := n.byIndex[index]
	if !asked && !n.all {
		found, err := n.links.LinkByIndex(index)
		if l, err = n.keep(found, err, "", index); err != nil {
			return "", false, err
		}
	}
	if l == nil {
		return "", false, nil
	}
	return l.Attrs().Name, true, nil
}

func (n *network) keep(l netlink.Link, err error, name string, index int) (netlink.Link, error) {
	if _, ok := errors.AsType[netlink.LinkNotFoundError](err); ok {
		if n.byIndex[index] = nil; name != "" {
			n.byName[name] = nil
		}
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read link: %w", err)
	}
	n.byName[l.Attrs().Name], n.byIndex[l.Attrs().Index] = l, l
	return l, nil
}
