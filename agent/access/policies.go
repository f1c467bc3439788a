package access

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Policies are the policy of a file, and how another one takes its place: a file
// that changes, or a rotation by gNSI. Without the file there is none, and everything
// is permitted that roles permit. A file that is wrong permits nothing, also where there
// was a policy before it: whoever wrote it meant to lock somebody out.
//
// M is the message that the file holds as JSON, an UploadRequest of gNSI, and P what
// is made of it.
type Policies[M policyMessage, P any] struct {
	what    string
	file    watched
	empty   func() M
	compile func(M) (P, error)
	log     *slog.Logger

	mu      sync.Mutex // guards busy, and orders replacements
	busy    bool       // a rotation is under way
	state   atomic.Pointer[policyState[M, P]]
	sandbox atomic.Pointer[policyState[M, P]]
}

// policyMessage is an UploadRequest of gNSI.
type policyMessage interface {
	proto.Message
	GetVersion() string
}

// policyState is a policy; broken: there is one, but not one that can be used.
type policyState[M policyMessage, P any] struct {
	there, broken bool
	message       M
	policy        P
}

// newPolicies reads the file.
func newPolicies[M policyMessage, P any](what, path string, empty func() M, compile func(M) (P, error), log *slog.Logger) *Policies[M, P] {
	p := &Policies[M, P]{what: what, file: watched{paths: []string{path}}, empty: empty, compile: compile, log: log}
	p.file.changed()
	p.state.Store(p.readOrClose())
	return p
}

// readOrClose reads the file; one that is wrong is a policy that permits nothing.
func (p *Policies[M, P]) readOrClose() *policyState[M, P] {
	s, err := p.read()
	if err != nil {
		p.log.Error("only root at the unix socket may do anything until the policy is right", "policy", p.what, "error", err)
		return &policyState[M, P]{there: true, broken: true}
	}
	return s
}

// Active is the policy; there says that there is one. It is the zero P where it
// cannot be used.
func (p *Policies[M, P]) Active() (policy P, there bool) {
	s := p.state.Load()
	return s.policy, s.there
}

// look implements source.
func (p *Policies[M, P]) look(force bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.busy || !p.file.changed() && !force {
		return false
	}
	was, s := p.state.Load(), p.readOrClose()
	if was.broken == s.broken && was.there == s.there && (!s.there || s.broken || proto.Equal(was.message, s.message)) {
		return false // subscriptions go by the one that is there
	}
	p.state.Store(s)
	return true
}

func (p *Policies[M, P]) read() (*policyState[M, P], error) {
	path := p.file.paths[0]
	text, err := readIfThere(path)
	if err == nil && text == nil {
		return &policyState[M, P]{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read policy of %s: %w", p.what, err)
	}
	m := p.empty()
	if err := protojson.Unmarshal(text, m); err != nil {
		return nil, fmt.Errorf("read policy of %s: %s: %w", p.what, path, err)
	}
	policy, err := p.compile(m)
	if err != nil {
		return nil, fmt.Errorf("read policy of %s: %s: %w", p.what, path, err)
	}
	return &policyState[M, P]{there: true, message: m, policy: policy}, nil
}
