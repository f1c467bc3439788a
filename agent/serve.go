package agent

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"syscall"

	"heddle/agent/gnmi"
	"heddle/internal/feed"
	"heddle/kernel/rtnl"
	"heddle/reconcile"
	"heddle/schema"
	"heddle/telemetry"
	"heddle/telemetry/subscribe"
	"heddle/translators"
	"heddle/yang"
)

// serve answers gNMI until the context ends.
func (a *Agent) serve(ctx context.Context) error {
	cfg := gnmi.Config{
		Schema: a.schema, Running: gnmi.Running(a.store), State: stateDataset{a.tel}, Refresher: a.tel,
		Store: a, Aliases: yang.Compatible(), Classify: classify, Log: a.log,
	}
	var listeners []net.Listener
	if a.cfg.Listen != "" {
		var err error
		if cfg.TLS, err = (gnmi.TLSFiles{Dir: filepath.Join(a.cfg.StateDir, "tls")}).Load(); err != nil {
			return err
		}
		l, err := gnmi.ListenTCP(ctx, a.cfg.Listen)
		if err != nil {
			return err
		}
		listeners = append(listeners, l)
		a.log.Info("gNMI over TLS", "address", l.Addr().String(), "certificate", filepath.Join(a.cfg.StateDir, "tls", "cert.pem"))
	}
	if a.cfg.Unix != "" {
		l, err := gnmi.ListenUnix(ctx, a.cfg.Unix)
		if err != nil {
			return errors.Join(err, closeAll(listeners))
		}
		listeners = append(listeners, l)
		a.log.Info("gNMI over a unix socket", "path", a.cfg.Unix)
	}
	srv, err := gnmi.New(cfg)
	if err != nil {
		return errors.Join(err, closeAll(listeners))
	}
	return srv.Serve(ctx, listeners...)
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
		missing     *rtnl.MissingLinkError
		clash       *reconcile.ConflictError
		translated  *translators.ConflictError
		untrue      *translators.Error
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
	case errors.As(err, &missing):
		f.Kind = gnmi.Missing
	case errors.As(err, &translated):
		f.Kind, f.Remedy = gnmi.Invalid, translated.Remedy
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
