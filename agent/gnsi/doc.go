// Package gnsi serves the services of gNSI: certz, authz, pathz, credentialz and
// acctz. It turns their messages into rotations of what agent/access goes by, and
// its records into messages. It decides nothing itself.
package gnsi

import (
	"errors"
	"io"

	"github.com/openconfig/gnsi/acctz"
	"github.com/openconfig/gnsi/authz"
	certz "github.com/openconfig/gnsi/certz"
	"github.com/openconfig/gnsi/credentialz"
	"github.com/openconfig/gnsi/pathz"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
)

// Register registers the services. What they change is what g goes by.
func Register(r grpc.ServiceRegistrar, g *access.Guard) {
	c := g.Config()
	if c.Paths != nil {
		pathz.RegisterPathzServer(r, &pathzServer{guard: g, paths: c.Paths})
	}
	if c.RPCs != nil {
		authz.RegisterAuthzServer(r, &authzServer{guard: g, rpcs: c.RPCs})
	}
	if c.Certificates != nil {
		certz.RegisterCertzServer(r, &certzServer{guard: g, certs: c.Certificates})
	}
	if c.Passwords != nil {
		credentialz.RegisterCredentialzServer(r, &credentialzServer{guard: g, passwords: c.Passwords})
	}
	a := &acctzServer{records: g.Records()}
	acctz.RegisterAcctzServer(r, a)
	acctz.RegisterAcctzStreamServer(r, &acctzStream{a})
}

// rotation is one under way.
type rotation interface {
	Pending() bool
	End()
}

// rotate takes messages until the client has no more to say. What was not made final
// by then is undone, and said to be.
func rotate[M any](g *access.Guard, r rotation, recv func() (M, error), take func(M) error) error {
	defer g.Review()
	defer r.End()
	for {
		m, err := recv()
		switch {
		case errors.Is(err, io.EOF) && r.Pending():
			return status.Error(codes.Aborted, "what was uploaded was not made final: it is undone")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := take(m); err != nil {
			return err
		}
		g.Review()
	}
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func notOffered(format string, args ...any) error {
	return status.Errorf(codes.Unimplemented, format, args...)
}
