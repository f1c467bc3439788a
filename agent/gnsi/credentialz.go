package gnsi

import (
	"context"

	"github.com/openconfig/gnsi/credentialz"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"heddle/agent/access"
)

// credentialzServer serves gnsi.credentialz.v1: the passwords of this agent's users.
// SSH is not the agent's.
type credentialzServer struct {
	credentialz.UnimplementedCredentialzServer
	guard     *access.Guard
	passwords *access.Passwords
}

// RotateAccountCredentials implements gnsi.credentialz.v1.
func (s *credentialzServer) RotateAccountCredentials(stream credentialz.Credentialz_RotateAccountCredentialsServer) error {
	r, err := s.passwords.Rotate()
	if err != nil {
		return err
	}
	return rotate(s.guard, r, stream.Recv, func(m *credentialz.RotateAccountCredentialsRequest) error {
		switch what := m.GetRequest().(type) {
		case *credentialz.RotateAccountCredentialsRequest_Password:
			for _, a := range what.Password.GetAccounts() {
				if err := s.upload(r, a); err != nil {
					return err
				}
			}
			return stream.Send(&credentialz.RotateAccountCredentialsResponse{
				Response: &credentialz.RotateAccountCredentialsResponse_Password{Password: &credentialz.PasswordResponse{}},
			})
		case *credentialz.RotateAccountCredentialsRequest_Finalize:
			return r.Finalize()
		case *credentialz.RotateAccountCredentialsRequest_Credential, *credentialz.RotateAccountCredentialsRequest_User:
			return notOffered("this agent has no SSH: only password is offered")
		}
		return invalid("the message is neither password nor finalize")
	})
}

func (s *credentialzServer) upload(r *access.PasswordRotation, a *credentialz.PasswordRequest_Account) error {
	if !s.guard.Exists(a.GetAccount()) {
		return status.Errorf(codes.FailedPrecondition, "account %q does not exist: give it a role, or a first password, on the target", a.GetAccount())
	}
	p, ok := a.GetPassword().GetValue().(*credentialz.PasswordRequest_Password_Plaintext)
	if !ok {
		return notOffered("account %q: passwords are kept as bcrypt hashes, which the message has no type for: send plaintext", a.GetAccount())
	}
	return r.Upload(a.GetAccount(), p.Plaintext)
}

// RotateHostParameters implements gnsi.credentialz.v1.
func (s *credentialzServer) RotateHostParameters(credentialz.Credentialz_RotateHostParametersServer) error {
	return notOffered("this agent has no SSH")
}

// CanGenerateKey implements gnsi.credentialz.v1.
func (s *credentialzServer) CanGenerateKey(context.Context, *credentialz.CanGenerateKeyRequest) (*credentialz.CanGenerateKeyResponse, error) {
	return &credentialz.CanGenerateKeyResponse{}, nil
}

// GetPublicKeys implements gnsi.credentialz.v1.
func (s *credentialzServer) GetPublicKeys(context.Context, *credentialz.GetPublicKeysRequest) (*credentialz.GetPublicKeysResponse, error) {
	return nil, notOffered("this agent has no SSH")
}
