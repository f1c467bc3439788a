package debian

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// mirror is where this machine gets Debian packages from.
type mirror struct {
	URI      string
	SignedBy string // a keyring's path, or empty for apt's trusted keys
}

// options returns the bracketed part of a sources line, with a blank behind.
func (m mirror) options() string {
	if m.SignedBy == "" {
		return ""
	}
	return "[signed-by=" + m.SignedBy + "] "
}

// archiveKeyring is where Debian's own package of keys puts them; it has the
// keys of all releases, which a machine's sources may narrow to one.
const archiveKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// machineMirror asks apt for the mirror this machine is configured with.
func machineMirror(ctx context.Context) (mirror, error) {
	const format = "$(REPO_URI)|$(ORIGIN)|$(CODENAME)|$(RELEASE)|$(COMPONENT)"
	text, err := output(ctx, "apt-get", "indextargets", "--format", format, "Created-By: Packages")
	if err != nil {
		return mirror{}, fmt.Errorf("read apt configuration: %w", err)
	}
	uri, err := chooseMirror(text)
	if err != nil {
		return mirror{}, err
	}
	m := mirror{URI: uri}
	if _, err := os.Stat(archiveKeyring); err == nil {
		m.SignedBy = archiveKeyring
	} else if keys, _ := filepath.Glob("/etc/apt/trusted.gpg.d/debian-archive-*"); len(keys) == 0 {
		return mirror{}, errors.New("find Debian's signing keys: install the package debian-archive-keyring")
	}
	return m, nil
}

// chooseMirror picks the main archive out of the lines of indextargets: the
// first of component main that is neither security nor an update suite. ORIGIN
// is not filled in before the first `apt-get update`, so it only excludes.
func chooseMirror(indexTargets string) (string, error) {
	for line := range strings.Lines(indexTargets) {
		f := strings.Split(strings.TrimSpace(line), "|")
		if len(f) != 5 || f[4] != "main" {
			continue
		}
		uri, origin, release := f[0], f[1], f[3]
		if origin != "Debian" && !strings.HasPrefix(origin, "$(") && origin != "" {
			continue
		}
		if strings.Contains(uri, "security") || strings.Contains(release, "-security") || strings.ContainsAny(release, "/") {
			continue
		}
		if !strings.Contains(uri, "debian") && origin != "Debian" {
			continue
		}
		return uri, nil
	}
	return "", errors.New("find a Debian mirror: this machine's apt sources name none: add Debian's main archive to /etc/apt/sources.list.d")
}
