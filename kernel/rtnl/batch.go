package rtnl

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

const (
	// batchSize messages go out in one send. More than 64 drains the kernel's
	// atomic per-CPU reserve, which H.Encaps routes live on, without being faster.
	batchSize = 64

	// splitFrom is the number of steps from which all writers share the work.
	splitFrom = 4 * batchSize

	retryFirst = 500 * time.Microsecond
	retryMost  = 256 * time.Millisecond
	retryTimes = 15 // about 2 s in all

	// deepExplanations is how many refusals of one call may cost the reading of a
	// table to say what was in the way.
	deepExplanations = 8
)

// job is one step of a bulk on its way.
type job struct {
	step   reconcile.Step
	result *reconcile.Result

	got      object.Object // what the echo described
	mismatch error         // how that differs from what was asked for
	echoed   bool
	answered bool
	lost     bool // sent, and the answer never came
	err      *answer
}

func (d *Driver) doRoutes(ctx context.Context, steps []reconcile.Step, results []reconcile.Result) {
	v, err := d.links.snapshot(ctx)
	if err != nil {
		for i := range results {
			results[i].Err = err
		}
		return
	}
	enc, dec := encoder{v, &d.hops}, decoder{v, &d.hops}
	jobs := make([]job, len(steps))
	todo := make([]*job, 0, len(steps))
	for i, s := range steps {
		if d.moves(s) {
			results[i].Got = s.New
			continue
		}
		jobs[i] = job{step: s, result: &results[i]}
		todo = append(todo, &jobs[i])
	}
	d.pass(ctx, enc, dec, todo)
	deep := deepExplanations
	ctx = context.WithoutCancel(ctx)
	for _, j := range todo {
		d.settle(ctx, enc, dec, j, &deep)
	}
}

// pass sends every job until the kernel has taken or refused it.
func (d *Driver) pass(ctx context.Context, enc encoder, dec decoder, jobs []*job) {
	if len(jobs) < splitFrom {
		d.retried += d.writers[0].run(ctx, enc, dec, jobs)
		return
	}
	var wg sync.WaitGroup
	var retried [writers]int
	part := (len(jobs) + len(d.writers) - 1) / len(d.writers)
	for i, c := range d.writers {
		mine := jobs[min(i*part, len(jobs)):min((i+1)*part, len(jobs))]
		wg.Go(func() { retried[i] = c.run(ctx, enc, dec, mine) })
	}
	wg.Wait()
	for _, n := range retried {
		d.retried += n
	}
}

// run sends jobs batch by batch and takes the answers in. What the kernel refuses
// for a passing shortage goes again at the head of the next batch. It returns how
// many messages were sent again.
func (c *conn) run(ctx context.Context, enc encoder, dec decoder, jobs []*job) (retried int) {
	var lack shortage
	batch := make([]*job, 0, batchSize)
	for len(batch) > 0 || len(jobs) > 0 {
		if err := ctx.Err(); err != nil {
			notDone(batch, err)
			notDone(jobs, err)
			break
		}
		for _, j := range batch {
			*j = job{step: j.step, result: j.result}
		}
		retried += len(batch)
		n := min(batchSize-len(batch), len(jobs))
		batch, jobs = append(batch, jobs[:n]...), jobs[n:]
		if err := c.exchange(ctx, enc, dec, batch); err != nil {
			for _, j := range batch {
				if !j.answered {
					j.lost = true
					j.result.Err = fmt.Errorf("lost sight of the object: %w", err)
				}
			}
		}
		refused := batch[:0]
		for _, j := range batch {
			if j.err != nil && transient(j.err.errno) {
				refused = append(refused, j)
			}
		}
		if lack.wait(ctx, len(refused), len(batch)); lack.futile > retryTimes {
			notDone(jobs, errShortage)
			break
		}
		batch = refused
	}
	return retried
}

func notDone(jobs []*job, err error) {
	for _, j := range jobs {
		j.result.Err = err
	}
}

// errShortage is what becomes of jobs behind one that the kernel has no memory for.
var errShortage = errors.New("not tried, because the kernel is short of memory")

// shortage is the kernel's want of memory for a moment: messages live on a reserve
// that a worker of the kernel fills up, for which it needs a processor. Until then
// each message fails like the one before, so it is better to wait.
type shortage struct {
	delay  time.Duration
	futile int // batches in a row of which nothing was taken
}

// wait waits where some messages of a batch were refused, longer each time that all
// of them were.
func (s *shortage) wait(ctx context.Context, refused, sent int) {
	if refused < sent {
		*s = shortage{}
	} else {
		s.futile++
	}
	if refused > 0 && s.futile <= retryTimes {
		s.delay = min(max(2*s.delay, retryFirst), retryMost)
		_ = waitTimer(ctx, s.delay) // the caller looks at ctx
	}
}

// exchange sends one batch and reads until every message of it is answered.
func (c *conn) exchange(ctx context.Context, enc encoder, dec decoder, batch []*job) error {
	// What is sent is done, so its answers are waited for in any case.
	return c.pipeline(context.WithoutCancel(ctx), len(batch), func(m *msgBuf, i int, seq uint32) error {
		j := batch[i]
		err := enc.encode(m, seq, j.step)
		if err != nil {
			j.result.Err, j.answered = err, true
		}
		return err
	}, func(i int, m *message) { batch[i].take(m, dec) })
}

// encode writes the message for a step. A step is answered by an echo of the
// route as the kernel has stored it, or by an error.
func (e encoder) encode(m *msgBuf, seq uint32, s reconcile.Step) error {
	const flags = unix.NLM_F_ECHO
	switch {
	case s.New == nil:
		return e.remove(m, flags, seq, s.Old)
	case s.Old == nil:
		return e.write(m, flags|unix.NLM_F_CREATE|unix.NLM_F_EXCL, seq, s.New)
	}
	return e.write(m, flags|unix.NLM_F_REPLACE, seq, s.New)
}

// take takes one message of the answer in.
func (j *job) take(m *message, dec decoder) {
	j.answered = true
	switch m.typ {
	case unix.NLMSG_ERROR:
		j.err = m.ack()
	case unix.RTM_NEWROUTE:
		if r, ok := parseRoute(m.data); ok && j.step.New != nil {
			j.echoed = true
			j.got, j.mismatch = dec.compare(j.step.New, &r)
		}
	case unix.RTM_DELROUTE:
		if r, ok := parseRoute(m.data); ok && j.step.New == nil {
			if j.mismatch = sameSlot(j.step.Old, &r); j.mismatch != nil {
				j.got, _ = dec.object(&r)
			}
		}
	}
}

// settle turns what came back into the result, and takes back what the kernel
// did not keep as asked.
func (d *Driver) settle(ctx context.Context, enc encoder, dec decoder, j *job, deep *int) {
	r, s := j.result, j.step
	switch {
	case r.Err != nil:
		if j.lost {
			d.resolve(ctx, dec, j)
		}
	case j.err != nil && s.New == nil && isGone(j.err):
		// It is gone already.
	case j.err != nil:
		r.Err = d.refusal(ctx, dec, j, deep)
	case s.New == nil:
		// The slot of metric 0 was empty and IPv4 has taken the next one of ours.
		if j.mismatch != nil {
			if err := d.takeBack(ctx, enc, reconcile.Step{New: nil, Old: j.got}); err != nil {
				r.Err = errors.Join(j.mismatch, err)
			}
		}
	case !j.echoed:
		d.resolve(ctx, dec, j)
	case j.mismatch != nil:
		r.Err = errors.Join(j.mismatch, d.takeBack(ctx, enc, s))
	default:
		r.Got = j.got
	}
}

// noNextHop is what the kernel says to the deletion of an IPv4 route by a nexthop
// object that is gone, with all its routes.
const noNextHop = "Nexthop id does not exist"

// isGone reports whether the kernel refuses to delete a route because there is
// none.
func isGone(a *answer) bool {
	switch a.errno {
	case unix.ESRCH, unix.ENODEV, unix.ENETUNREACH:
		return true
	}
	return a.errno == unix.EINVAL && a.text == noNextHop
}

// takeBack undoes a step that the kernel has carried out differently.
func (d *Driver) takeBack(ctx context.Context, enc encoder, s reconcile.Step) error {
	undo := reconcile.Step{Old: s.New, New: s.Old}
	c := d.query
	c.seq++
	c.out.reset()
	if err := enc.encode(&c.out, c.seq, undo); err != nil {
		return describe("take back", describeStep(s), err)
	}
	c.out.askAck()
	return describe("take back", describeStep(s), c.request(ctx, nil))
}

// resolve finds out what became of a step whose answer was lost.
func (d *Driver) resolve(ctx context.Context, dec decoder, j *job) {
	o := j.step.New
	if o == nil {
		o = j.step.Old
	}
	held, r, err := d.readSlot(ctx, dec, slotOf(o))
	switch {
	case err != nil:
		j.result.Err = errors.Join(j.result.Err, err)
	case j.step.New == nil && (!held || r.proto != Protocol):
		j.result.Err = nil
	case j.step.New != nil && held:
		j.result.Got, j.result.Err = dec.compare(j.step.New, &r)
	case j.result.Err == nil:
		j.result.Err = &DroppedError{Object: describeStep(j.step), Dropped: "all of it", Held: "nothing"}
	}
}

// refusal explains why the kernel refused a step.
func (d *Driver) refusal(ctx context.Context, dec decoder, j *job, deep *int) error {
	s := j.step
	err := describe(op(s), describeStep(s), j.err)
	if j.err.errno == unix.EEXIST && *deep > 0 {
		*deep--
		if held, r, rerr := d.readSlot(ctx, dec, slotOf(s.New)); rerr == nil && held && r.proto != Protocol {
			return because(conflict(s.New, &r), err)
		}
	}
	if j.err.errno == unix.EOPNOTSUPP || j.err.errno == unix.EINVAL && j.err.text == "" {
		if uerr := d.unsupported(ctx, s.New); uerr != nil {
			return because(uerr, err)
		}
	}
	return err
}
