package netlab

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// Scratch makes a namespace that belongs to no topology, lets f run commands in
// it, and removes it: for asking the kernel what it can do. run returns standard
// output and error together.
func (l *Lab) Scratch(f func(run func(argv ...string) (string, error)) error) error {
	node := fmt.Sprintf("scratch-%d-%x", os.Getpid(), time.Now().UnixNano())
	if err := createNS(l.NSName(node)); err != nil {
		return err
	}
	err := f(func(argv ...string) (string, error) {
		cmd, err := l.Command(node, argv)
		if err != nil {
			return "", err
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	})
	return errors.Join(err, removeNode(l.NSName(node)))
}

// Leaks lists what is left on this machine of the lab's namespaces; none should
// be after Down.
func (l *Lab) Leaks(nodes []string) ([]string, error) {
	var left []string
	for _, n := range nodes {
		names, err := namespacesWithPrefix(l.NSName(n))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			if name == l.NSName(n) {
				left = append(left, "namespace "+name)
			}
		}
		for _, path := range []string{l.SocketPath(n), l.StatePath(n), l.LogPath(n)} {
			if _, err := os.Lstat(path); err == nil {
				left = append(left, "file "+path)
			}
		}
	}
	return left, nil
}
