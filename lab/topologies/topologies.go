// Package topologies carries the topology files of the lab, so that the host
// tool, the guest and the scenario tests find them by name without a checkout.
// It serves lab/cli and lab/scenario and knows nothing of what a file says.
package topologies

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

//go:embed *.yaml
var files embed.FS

// Names lists the topologies that come with the lab, without ".yaml".
func Names() []string {
	matches, err := fs.Glob(files, "*.yaml")
	if err != nil {
		return nil
	}
	for i, m := range matches {
		matches[i] = strings.TrimSuffix(m, ".yaml")
	}
	return matches
}

// Find returns the file name and the text of a topology: one of Names, or the
// path of a file of one's own (anything with a slash or ending in .yaml).
func Find(nameOrPath string) (file string, text []byte, err error) {
	if strings.Contains(nameOrPath, "/") || strings.HasSuffix(nameOrPath, ".yaml") {
		text, err = os.ReadFile(nameOrPath)
		if err != nil {
			return "", nil, fmt.Errorf("read topology: %w", err)
		}
		return nameOrPath, text, nil
	}
	text, err = files.ReadFile(nameOrPath + ".yaml")
	if err != nil {
		return "", nil, fmt.Errorf("find topology %q: none of that name comes with the lab: use one of %s, or the path of a .yaml file",
			nameOrPath, strings.Join(Names(), ", "))
	}
	return nameOrPath + ".yaml", text, nil
}
