package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"heddle/agent/access"
	"heddle/agent/gnmi"
	"heddle/agent/gnsi"
	"heddle/agent/rpc"
	hpb "heddle/gen/rpc"
	"heddle/internal/feed"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/telemetry/subscribe"
	"heddle/translators"
	"heddle/yang"
)

// doors are the listeners of an agent, open before anything else happens: an
// address that is taken must not be found out after the kernel was changed.
type doors struct {
	listeners []net.Listener
	tls       *tls.Config
	guard     *access.Guard
}

func (a *Agent) openDoors(ctx context.Context) (d doors, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, closeAll(d.listeners))
		}
	}()
	if err := os.MkdirAll(filepath.Join(a.cfg.StateDir, "access"), 0o700); err != nil {
		return d, fmt.Errorf("make the folder of passwords and roles: %w", err)
	}
	in := func(name string) string { return filepath.Join(a.cfg.StateDir, "access", name) }
	passwords := access.NewPasswords(in("passwords"), a.log)
	guard := access.Config{Passwords: passwords, Roles: access.NewRoles(in("roles"), a.log), Paths: access.NewPathPolicies(a.schema, in("pathz.json"), a.log), RPCs: access.NewRPCPolicies(in("authz.json"), a.log), Limits: a.cfg.Limits, Log: a.log}
	if a.cfg.Listen != "" {
		files := access.TLSFiles{Dir: filepath.Join(a.cfg.StateDir, "tls"), Names: a.cfg.TLSNames, ClientCA: a.cfg.ClientCA, ClientCRL: a.cfg.ClientCRL}
		if guard.Certificates, err = access.LoadCertificates(files, passwords.Any, a.log); err != nil {
			return d, err
		}
		d.tls = guard.Certificates.Config()
		if err := a.listenTCP(ctx, &d, a.cfg.Listen, false); err != nil {
			return d, err
		}
		a.log.Info("gNMI over TLS", "address", d.last(), "certificate", files.CertFile(),
			"clients by certificate", guard.Certificates.Any(), "clients by password", passwords.Any())
	}
	if a.cfg.Plaintext != "" {
		if err := a.listenTCP(ctx, &d, a.cfg.Plaintext, true); err != nil {
			return d, err
		}
		a.log.Warn("gNMI in plaintext: whoever is on the way reads the passwords, and may change what is sent", "address", d.last())
	}
	if a.cfg.Unix != "" {
		l, err := gnmi.ListenUnixGroup(ctx, a.cfg.Unix, a.cfg.UnixGroup)
		if err != nil {
			return d, err
		}
		d.listeners = append(d.listeners, l)
		a.log.Info("gNMI over a unix socket", "path", a.cfg.Unix)
	}
	d.guard = access.New(guard)
	return d, nil
}

func (a *Agent) listenTCP(ctx context.Context, d *doors, addr string, plain bool) error {
	l, err := gnmi.ListenTCP(ctx, addr)
	if err != nil {
		return err
	}
	if plain {
		l = access.Plaintext(l)
	}
	d.listeners = append(d.listeners, l)
	return nil
}

// last is the address of the listener that was opened last.
func (d *doors) last() string { return d.listeners[len(d.listeners)-1].Addr().String() }

// serve answers gNMI, and our own service beside it, until the context ends.
func (a *Agent) serve(ctx context.Context, d doors) error {
	srv, err := gnmi.New(gnmi.Config{
		Schema: a.schema, Running: gnmi.Running(a.store), State: stateDataset{a.tel}, Refresher: refresher{a},
		Store: a, Past: a.store, Aliases: yang.Compatible(), Classify: classify, TLS: d.tls, Guard: d.guard, Log: a.log,
	})
	if err != nil {
		return err
	}
	gnsi.Register(srv, d.guard)
	hpb.RegisterHeddleServer(srv, rpc.New(a, srv, a.schema))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { d.guard.Watch(ctx, a.cfg.Reload) })
	return srv.Serve(ctx, d.listeners...)
}

func closeAll(listeners []net.Listener) error {
	var errs []error
	for _, l := range listeners {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// classify tells the protocol what a refusal means.
func classify(err error) gnmi.Failure {
	var (
		apply       *reconcile.ApplyError
		step        *reconcile.StepError
		unsupported *rtnl.UnsupportedError
		conflict    *rtnl.ConflictError
		loss        *rtnl.LossError
		missing     *rtnl.MissingLinkError
		unfit       *rtnl.UnfitError
		clash       *reconcile.ConflictError
		translated  *translators.ConflictError
		untrue      *translators.Error
		refused     *translators.RefusedError
		ring        *reconcile.RingError
	)
	var f gnmi.Failure
	switch {
	case errors.As(err, &apply):
		f.Path = apply.Origin
	case errors.As(err, &step):
		f.Path = step.Origin
	}
	switch {
	case apply != nil && apply.Undo != nil:
		f.Kind = gnmi.Incomplete
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		f.Kind, f.Remedy = gnmi.Exhausted, "make room for the state directory"
	case errors.As(err, &unsupported):
		f.Kind, f.Remedy = gnmi.Unsupported, unsupported.Remedy
	case errors.As(err, &conflict):
		f.Kind, f.Remedy = gnmi.Conflict, conflict.Remedy
	case errors.As(err, &loss):
		f.Kind, f.Remedy = gnmi.Conflict, loss.Remedy
	case errors.As(err, &missing):
		f.Kind = gnmi.Missing
	case errors.As(err, &unfit):
		f.Kind, f.Remedy = gnmi.Missing, unfit.Remedy
	case errors.As(err, &translated):
		f.Kind, f.Remedy = gnmi.Invalid, translated.Remedy
	case errors.As(err, &refused):
		f.Kind, f.Path, f.Remedy = gnmi.Invalid, refused.Path, refused.Remedy
	case errors.As(err, &clash), errors.As(err, &ring), errors.As(err, &untrue):
		f.Kind = gnmi.Invalid
	}
	return f
}

// stateDataset is the state tree as subscriptions read it.
type stateDataset struct{ *telemetry.Telemetry }

func (d stateDataset) Snapshot() schema.Tree { return d.Telemetry.Snapshot() }

func (d stateDataset) Watch() (schema.Tree, subscribe.Feed) {
	s, r := d.Telemetry.Watch()
	return s, stateFeed{r}
}

type stateFeed struct{ *feed.Reader[telemetry.Event] }

func (f stateFeed) Next(ctx context.Context) (subscribe.Batch, error) {
	e, lost, err := f.Reader.Next(ctx)
	if err != nil {
		return subscribe.Batch{}, err
	}
	return subscribe.Batch{Time: e.Time, Changes: e.Changes, Tree: e.Snapshot, Lost: lost}, nil
}
