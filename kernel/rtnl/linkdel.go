package rtnl

import (
	"context"
	"errors"
	"math/rand/v2"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// togetherFrom is the number of links from which deleting them together is worth
// it.
const togetherFrom = 4

// deletes reports whether all steps delete links.
func deletes(steps []reconcile.Step) bool {
	for _, s := range steps {
		if _, ok := s.Old.(object.Link); !ok || s.New != nil {
			return false
		}
	}
	return true
}

// doLinks carries out steps on links that do not depend on each other.
func (d *Driver) doLinks(ctx context.Context, steps []reconcile.Step, results []reconcile.Result) {
	if len(steps) < togetherFrom || !deletes(steps) || ctx.Err() != nil {
		d.each(ctx, steps, results, d.doLink)
		return
	}
	// What the kernel does not take together it takes one by one, and what is gone by
	// then is no error.
	_ = d.deleteTogether(context.WithoutCancel(ctx), steps, rand.Uint32()|1<<31) // people use small ones
	d.each(context.WithoutCancel(ctx), steps, results, d.doLink)
}

// deleteTogether deletes many links of ours by one message: for each message the
// kernel waits until no processor looks at the links any more, which takes as long
// for one as for thousands (rtnl_group_dellink in net/core/rtnetlink.c). For that they
// become a device group, of a number that is to be drawn anew each time: nobody else's
// link is in it, nor one of ours that was left in the last one when the agent was
// killed. Where the kernel refuses, they have their former group back.
func (d *Driver) deleteTogether(ctx context.Context, steps []reconcile.Step, group uint32) error {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		return err
	}
	var msgs, back []outMessage
	var links []object.Link
	for _, s := range steps {
		l := s.Old.(object.Link)
		have := v.byName[l.Name]
		if have == nil || !have.ours() || !l.Creates() {
			continue
		}
		msgs, back = append(msgs, groupMessage(have, group)), append(back, groupMessage(have, have.group))
		links = append(links, l)
	}
	if len(links) < togetherFrom {
		return nil
	}
	if err := errors.Join(d.sendEach(ctx, msgs)...); err != nil {
		return errors.Join(err, errors.Join(d.sendEach(ctx, back)...))
	}
	for _, l := range links {
		d.noteOwn(ctx, l, &d.own.ended)
	}
	c := d.query
	c.begin(unix.RTM_DELLINK, unix.NLM_F_ACK, unix.SizeofIfInfomsg)
	c.out.u32(unix.IFLA_GROUP, group)
	c.out.end()
	if err := c.request(ctx, nil); err != nil {
		return errors.Join(err, errors.Join(d.sendEach(ctx, back)...))
	}
	for _, l := range links {
		d.restoreOn(ctx, within(l))
	}
	return nil
}

// groupMessage is a request that puts a link into a device group.
func groupMessage(l *link, group uint32) outMessage {
	body := make([]byte, unix.SizeofIfInfomsg)
	native.PutUint32(body[4:], uint32(l.index))
	body = native.AppendUint16(native.AppendUint16(body, 8), unix.IFLA_GROUP)
	return outMessage{unix.RTM_SETLINK, 0, native.AppendUint32(body, group)}
}

// endings are the links of ours that a plan deletes for good or to make anew.
func endings(steps []reconcile.Step) map[string]bool {
	names := map[string]bool{}
	for _, s := range steps {
		if l, ok := s.Old.(object.Link); ok && s.New == nil && l.Creates() {
			names[l.Name] = true
		}
	}
	return names
}

// goesAnyway reports whether a step gives a link back the settings of before, and
// the link goes in the same plan.
func (d *Driver) goesAnyway(s reconcile.Step) bool {
	c, ok := s.Old.(object.LinkConfig)
	return ok && s.New == nil && d.ending[c.Link]
}
