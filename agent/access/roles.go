package access

import (
	"bufio"
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
)

// Role is which RPCs are open to a user.
type Role string

// The roles, each with all that the one before has.
const (
	// None: nothing.
	None Role = ""
	// ReadOnly: read configuration and state.
	ReadOnly Role = "read-only"
	// Operator: besides, change the configuration, and send probes.
	Operator Role = "operator"
	// Admin: besides, say who may do what.
	Admin Role = "admin"
)

var ranks = map[Role]int{ReadOnly: 1, Operator: 2, Admin: 3}

// needs is the role that a method takes. One that is not known takes Admin, so
// that a new service is closed until somebody has thought about it.
func needs(method string) Role {
	switch method {
	case "/gnmi.gNMI/Capabilities", "/gnmi.gNMI/Get", "/gnmi.gNMI/Subscribe", "/heddle.v1.Heddle/Explain", "/heddle.v1.Heddle/History", "/heddle.v1.Heddle/Diff", "/heddle.v1.Heddle/Children":
		return ReadOnly
	case "/gnmi.gNMI/Set", "/heddle.v1.Heddle/Plan", "/heddle.v1.Heddle/Ping", "/heddle.v1.Heddle/Rollback",
		"/heddle.v1.Heddle/Lock", "/heddle.v1.Heddle/Unlock":
		return Operator
	}
	for _, service := range []string{"/grpc.reflection.", "/grpc.health."} {
		if strings.HasPrefix(method, service) {
			return ReadOnly
		}
	}
	return Admin
}

// Roles are the roles of a file: a line NAME ROLE for each user. Without the file
// everybody who is identified is Admin: whoever set up certificates or passwords
// meant them. With it, who is not in it may do nothing, and with one that is not
// right nobody may.
type Roles struct {
	file watched
	log  *slog.Logger

	mu     sync.Mutex // guards all below
	roles  map[string]Role
	there  bool
	broken error
}

// NewRoles reads the file. A mistake in it is in the log.
func NewRoles(path string, log *slog.Logger) *Roles {
	r := &Roles{file: watched{paths: []string{path}}, log: log}
	r.look(true)
	return r
}

// look implements source.
func (r *Roles) look(force bool) bool {
	if !r.file.changed() && !force {
		return false
	}
	roles, there, err := readRoles(r.file.paths[0])
	if err != nil {
		r.log.Error("nobody but root at the unix socket may do anything until the file is right", "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	same := maps.Equal(r.roles, roles) && r.there == there && (r.broken == nil) == (err == nil)
	r.roles, r.there, r.broken = roles, there, err
	return !same
}

// Of is the role of a user.
func (r *Roles) Of(who Identity) Role {
	if who.Owner {
		return Admin
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.broken != nil:
		return None
	case !r.there:
		return Admin
	}
	return r.roles[who.Name]
}

// given reports whether there is a file.
func (r *Roles) given() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.there
}

// has reports whether the file names a user.
func (r *Roles) has(user string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, ok := r.roles[user]
	return ok
}

func readRoles(path string) (roles map[string]Role, there bool, err error) {
	text, err := readIfThere(path)
	if err == nil && text == nil {
		return nil, false, nil
	}
	if err != nil {
		return nil, true, fmt.Errorf("read roles: %w", err)
	}
	roles = map[string]Role{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		cut := strings.LastIndexAny(line, " \t") // a common name may have blanks
		if cut < 0 {
			return nil, true, fmt.Errorf("read roles %s: line %d: %q is not NAME ROLE", path, n, line)
		}
		name, role := strings.TrimSpace(line[:cut]), Role(line[cut+1:])
		if ranks[role] == 0 {
			return nil, true, fmt.Errorf("read roles %s: line %d: there is no role %q: use read-only, operator or admin", path, n, role)
		}
		if _, twice := roles[name]; twice {
			return nil, true, fmt.Errorf("read roles %s: line %d: %s is there twice", path, n, name)
		}
		roles[name] = role
	}
	if err := lines.Err(); err != nil {
		return nil, true, fmt.Errorf("read roles %s: %w", path, err)
	}
	return roles, true, nil
}
