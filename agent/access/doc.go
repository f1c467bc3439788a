// Package access decides who a caller is and what it may do: the identity behind
// a connection or a call, the RPCs its role opens, and what it may have of the
// agent's memory and time.
//
// It serves the gRPC server of the agent, which asks it before it reads the first
// octet of a request. It must not know what the services do, nor the kernel.
//
// What it relies on are files in one folder: certificates, passwords, roles. They
// are looked at every few seconds, and at once when the agent is told to. A certificate, authority
// or revocation list that cannot be used leaves the one before in place, since
// the alternative is an agent that nobody reaches; a file of passwords or roles
// that cannot be used lets nobody in by it, since the alternative is to let in
// whom it may just have locked out.
package access
