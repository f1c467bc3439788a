package gnsi

import (
	"context"

	"github.com/openconfig/gnsi/authz"
	"github.com/openconfig/gnsi/pathz"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
)

// pathzServer serves gnsi.pathz.v1. What is uploaded counts when it is made final,
// and can be probed before.
type pathzServer struct {
	pathz.UnimplementedPathzServer
	guard *access.Guard
	paths *access.PathPolicies
}

// Rotate implements gnsi.pathz.v1.
func (s *pathzServer) Rotate(stream pathz.Pathz_RotateServer) error {
	r, err := s.paths.Rotate(false)
	if err != nil {
		return err
	}
	return rotate(s.guard, r, stream.Recv, func(m *pathz.RotateRequest) error {
		switch what := m.GetRotateRequest().(type) {
		case *pathz.RotateRequest_UploadRequest:
			if err := r.Upload(what.UploadRequest, m.GetForceOverwrite()); err != nil {
				return err
			}
			return stream.Send(&pathz.RotateResponse{Response: &pathz.RotateResponse_Upload{Upload: &pathz.UploadResponse{}}})
		case *pathz.RotateRequest_FinalizeRotation:
			return r.Finalize()
		}
		return invalid("the message is neither upload_request nor finalize_rotation")
	})
}

// instance is the policy that a message names.
func (s *pathzServer) instance(i pathz.PolicyInstance) (*access.PathPolicy, error) {
	switch i {
	case pathz.PolicyInstance_POLICY_INSTANCE_ACTIVE:
		if p, there := s.paths.Active(); there && p != nil {
			return p, nil
		}
		return nil, status.Error(codes.FailedPrecondition, "there is no policy of paths that could be used: what roles permit is permitted, or nothing if there is one that is wrong")
	case pathz.PolicyInstance_POLICY_INSTANCE_SANDBOX:
		if p, ok := s.paths.Sandbox(); ok {
			return p, nil
		}
		return nil, status.Error(codes.FailedPrecondition, "there is no policy in the sandbox: no rotation is under way, or nothing was uploaded")
	}
	return nil, invalid("policy_instance %s: use POLICY_INSTANCE_ACTIVE or POLICY_INSTANCE_SANDBOX", i)
}

// Probe implements gnsi.pathz.v1.
func (s *pathzServer) Probe(_ context.Context, req *pathz.ProbeRequest) (*pathz.ProbeResponse, error) {
	p, err := s.instance(req.GetPolicyInstance())
	if err != nil {
		return nil, err
	}
	if m := req.GetMode(); m != pathz.Mode_MODE_READ && m != pathz.Mode_MODE_WRITE {
		return nil, invalid("mode %s: use MODE_READ or MODE_WRITE", m)
	}
	if req.GetUser() == "" {
		return nil, invalid("user is not set")
	}
	at, err := p.Resolve(req.GetPath())
	if err != nil {
		return nil, invalid("path: %v", err)
	}
	resp := &pathz.ProbeResponse{Action: pathz.Action_ACTION_DENY, Version: p.Upload.GetVersion()}
	if ok, _ := p.Permits(req.GetUser(), at, req.GetMode() == pathz.Mode_MODE_WRITE); ok {
		resp.Action = pathz.Action_ACTION_PERMIT
	}
	return resp, nil
}

// Get implements gnsi.pathz.v1.
func (s *pathzServer) Get(_ context.Context, req *pathz.GetRequest) (*pathz.GetResponse, error) {
	p, err := s.instance(req.GetPolicyInstance())
	if err != nil {
		return nil, err
	}
	return &pathz.GetResponse{Version: p.Upload.GetVersion(), CreatedOn: p.Upload.GetCreatedOn(), Policy: p.Upload.GetPolicy()}, nil
}

// authzServer serves gnsi.authz.v1. What is uploaded counts at once, since trying it
// is how it is tested.
type authzServer struct {
	authz.UnimplementedAuthzServer
	guard *access.Guard
	rpcs  *access.RPCPolicies
}

// Rotate implements gnsi.authz.v1.
func (s *authzServer) Rotate(stream authz.Authz_RotateServer) error {
	r, err := s.rpcs.Rotate(true)
	if err != nil {
		return err
	}
	return rotate(s.guard, r, stream.Recv, func(m *authz.RotateAuthzRequest) error {
		if id := m.GetAuthzProfileId(); id != "" {
			return notOffered("authz_profile_id %q: there is one policy for all RPCs: leave it out", id)
		}
		switch what := m.GetRotateRequest().(type) {
		case *authz.RotateAuthzRequest_UploadRequest:
			if err := r.Upload(what.UploadRequest, m.GetForceOverwrite()); err != nil {
				return err
			}
			return stream.Send(&authz.RotateAuthzResponse{RotateResponse: &authz.RotateAuthzResponse_UploadResponse{UploadResponse: &authz.UploadResponse{}}})
		case *authz.RotateAuthzRequest_FinalizeRotation:
			return r.Finalize()
		}
		return invalid("the message is neither upload_request nor finalize_rotation")
	})
}

// Probe implements gnsi.authz.v1. It is about the policy alone, not about roles.
func (s *authzServer) Probe(_ context.Context, req *authz.ProbeRequest) (*authz.ProbeResponse, error) {
	p, there := s.rpcs.Active()
	switch {
	case !there:
		return &authz.ProbeResponse{Action: authz.ProbeResponse_ACTION_PERMIT}, nil
	case p == nil:
		return &authz.ProbeResponse{Action: authz.ProbeResponse_ACTION_DENY}, nil
	}
	resp := &authz.ProbeResponse{Action: authz.ProbeResponse_ACTION_DENY, Version: p.Upload.GetVersion()}
	if ok, _ := p.Permits(req.GetUser(), req.GetRpc(), nil); ok {
		resp.Action = authz.ProbeResponse_ACTION_PERMIT
	}
	return resp, nil
}

// Get implements gnsi.authz.v1.
func (s *authzServer) Get(context.Context, *authz.GetRequest) (*authz.GetResponse, error) {
	p, there := s.rpcs.Active()
	if !there || p == nil {
		return nil, status.Error(codes.FailedPrecondition, "there is no policy of RPCs that could be used")
	}
	return &authz.GetResponse{Version: p.Upload.GetVersion(), CreatedOn: p.Upload.GetCreatedOn(), Policy: p.Upload.GetPolicy()}, nil
}
