package access

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/openconfig/gnsi/authz"
	"google.golang.org/grpc/metadata"
)

// RPCPolicy says who may call which RPCs: the policy of gRPC authorization (proposal
// A43) that gNSI's authz carries. A deny rule that matches refuses; else an allow
// rule has to match.
type RPCPolicy struct {
	Upload *authz.UploadRequest

	deny, allow []rpcRule
}

// rpcRule is one rule; what it leaves out matches everything.
type rpcRule struct {
	Name   string `json:"name"`
	Source struct {
		Principals []string `json:"principals"`
	} `json:"source"`
	Request struct {
		Paths   []string    `json:"paths"`
		Headers []rpcHeader `json:"headers"`
	} `json:"request"`
}

type rpcHeader struct {
	Key    string   `json:"key"`
	Values []string `json:"values"`
}

// RPCPolicies are the policy of RPCs.
type RPCPolicies = Policies[*authz.UploadRequest, *RPCPolicy]

// NewRPCPolicies reads the policy of RPCs of a file.
func NewRPCPolicies(path string, log *slog.Logger) *RPCPolicies {
	return newPolicies("RPCs", path, func() *authz.UploadRequest { return &authz.UploadRequest{} }, CompileRPCs, log)
}

// CompileRPCs checks a policy.
func CompileRPCs(up *authz.UploadRequest) (*RPCPolicy, error) {
	var text struct {
		Name  string    `json:"name"`
		Deny  []rpcRule `json:"deny_rules"`
		Allow []rpcRule `json:"allow_rules"`
	}
	dec := json.NewDecoder(bytes.NewReader([]byte(up.GetPolicy())))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&text); err != nil {
		return nil, fmt.Errorf("use policy of RPCs: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("use policy of RPCs: there is something behind its end")
	}
	if text.Name == "" || len(text.Allow) == 0 {
		return nil, errors.New("use policy of RPCs: name and allow_rules are required")
	}
	for _, rules := range [][]rpcRule{text.Deny, text.Allow} {
		seen := map[string]bool{}
		for _, r := range rules {
			if err := r.check(); err != nil {
				return nil, fmt.Errorf("use policy of RPCs: rule %q: %w", r.Name, err)
			}
			if seen[r.Name] {
				return nil, fmt.Errorf("use policy of RPCs: rule %q is there twice", r.Name)
			}
			seen[r.Name] = true
		}
	}
	return &RPCPolicy{Upload: up, deny: text.Deny, allow: text.Allow}, nil
}

func (r *rpcRule) check() error {
	if r.Name == "" {
		return errors.New("it has no name")
	}
	for _, h := range r.Request.Headers {
		key := strings.ToLower(h.Key)
		if key == "" || key == "host" || strings.HasPrefix(key, ":") || strings.HasPrefix(key, "grpc-") || key == "password" {
			return fmt.Errorf("a policy cannot be about the header %q", h.Key)
		}
		if len(h.Values) == 0 {
			return fmt.Errorf("the header %s has no values", h.Key)
		}
	}
	return nil
}

// Permits says whether a user may call a method, and by which rule; "" is none.
func (p *RPCPolicy) Permits(user, method string, head metadata.MD) (ok bool, rule string) {
	for i := range p.deny {
		if p.deny[i].matches(user, method, head) {
			return false, p.deny[i].Name
		}
	}
	for i := range p.allow {
		if p.allow[i].matches(user, method, head) {
			return true, p.allow[i].Name
		}
	}
	return false, ""
}

func (r *rpcRule) matches(user, method string, head metadata.MD) bool {
	if len(r.Source.Principals) > 0 && !anyMatch(r.Source.Principals, user) || len(r.Request.Paths) > 0 && !anyMatch(r.Request.Paths, method) {
		return false
	}
	for _, h := range r.Request.Headers {
		values := head.Get(h.Key)
		if len(values) == 0 || !anyMatch(h.Values, strings.Join(values, ",")) {
			return false
		}
	}
	return true
}

// anyMatch compares with patterns: TEXT, BEGIN*, *END, or * for what is not empty.
func anyMatch(patterns []string, text string) bool {
	for _, p := range patterns {
		begin, before := strings.CutSuffix(p, "*")
		end, behind := strings.CutPrefix(p, "*")
		switch {
		case p == "*":
			if text != "" {
				return true
			}
		case before && strings.HasPrefix(text, begin), behind && strings.HasSuffix(text, end), p == text:
			return true
		}
	}
	return false
}
