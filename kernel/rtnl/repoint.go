package rtnl

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"heddle/kernel/object"
	"heddle/reconcile"
)

// A plan that makes a shared next hop, has all routes by another one leave by it
// and deletes the other one comes to this: the way of those routes changes. One
// message does that, and at the same moment for all: the kernel's object is
// replaced, keeps its id, and has the new one's name from then on. The routes hold
// the id and need no word. That they do was read back when they were made, and an
// event would have told of a change since.
//
// Until the deletion, which ends it, both names stand for the object, so that an
// undo can go back step by step.

// repoints are the shared next hops without a name that a plan has take the place of
// another one, by their ID.
func repoints(steps []reconcile.Step) map[string]*object.SharedNextHop {
	made, gone := map[string]bool{}, map[string]*object.SharedNextHop{}
	for _, s := range steps {
		switch n, old := asHop(s.New), asHop(s.Old); {
		case n != nil && old == nil && !n.Named():
			made[n.ID] = true
		case old != nil && n == nil && !old.Named():
			gone[old.ID] = old
		}
	}
	if len(made) == 0 || len(gone) == 0 {
		return nil
	}
	to := map[string]string{} // what the routes by one that goes leave by; "" if not all by one
	for _, s := range steps {
		old, ok := s.Old.(*object.Route)
		if !ok || gone[old.SharedHop] == nil {
			continue
		}
		next := ""
		if n, ok := s.New.(*object.Route); ok && made[n.SharedHop] && movesOnly(old, n) {
			next = n.SharedHop
		}
		if before, met := to[old.SharedHop]; met && before != next {
			next = ""
		}
		to[old.SharedHop] = next
	}
	places := map[string]*object.SharedNextHop{}
	for from, next := range to {
		// One object cannot take two places.
		if p := places[next]; next != "" && (p == nil || from < p.ID) {
			places[next] = gone[from]
		}
	}
	return places
}

func asHop(o object.Object) *object.SharedNextHop {
	h, _ := o.(*object.SharedNextHop)
	return h
}

// movesOnly reports whether two routes differ in nothing but the next hop that they
// share with others.
func movesOnly(a, b *object.Route) bool {
	moved := *a
	moved.SharedHop = b.SharedHop
	return moved.Equal(b) && moved.VRF == b.VRF
}

// takePlace makes o by replacing the object of another one; got is nil where that is
// not there, and nothing has happened then.
func (d *Driver) takePlace(ctx context.Context, v view, from *object.SharedNextHop, o object.Object) (got object.Object, err error) {
	name := o.Key().ID
	id, ok := d.hops.id(from.ID)
	if _, there := d.hops.id(name); !ok || there {
		return nil, nil
	}
	if held, there, err := d.readNextHop(ctx, id); err != nil || !there || !held.ours() {
		return nil, describe("read", from.String(), err)
	}
	if got, err = d.changeTo(ctx, v, id, from, o); err != nil {
		return nil, err
	}
	d.hops.set(name, id)
	if d.moved == nil {
		d.moved = map[string]*object.SharedNextHop{}
	}
	d.moved[name] = from
	return got, nil
}

// endMove carries out the deletion of a next hop that has taken the place of
// another one, or of one that has lost it; done is false for others.
func (d *Driver) endMove(ctx context.Context, v view, name string) (done bool, err error) {
	if from := d.moved[name]; from != nil { // back
		id, _ := d.hops.id(name)
		if _, err := d.sendNextHop(ctx, v, unix.NLM_F_REPLACE, id, from); err != nil {
			return true, err
		}
		d.hops.forget(name)
		d.hops.set(from.ID, id)
		delete(d.moved, name)
		return true, nil
	}
	for to, from := range d.moved {
		if from.ID == name {
			d.hops.forget(name)
			delete(d.moved, to)
			return true, nil
		}
	}
	return false, nil
}

// moves reports whether a route has gone from one next hop to another already, with
// the next hop.
func (d *Driver) moves(s reconcile.Step) bool {
	old, ok := s.Old.(*object.Route)
	if !ok || len(d.moved) == 0 {
		return false
	}
	now, ok := s.New.(*object.Route)
	if !ok || !movesOnly(old, now) {
		return false
	}
	there, back := d.moved[now.SharedHop], d.moved[old.SharedHop]
	return there != nil && there.ID == old.SharedHop || back != nil && back.ID == now.SharedHop
}

// changeTo gives the object with an id another way out; what is not read back as
// asked is given the way of before.
func (d *Driver) changeTo(ctx context.Context, v view, id uint32, from, o object.Object) (object.Object, error) {
	got, err := d.sendNextHop(ctx, v, unix.NLM_F_REPLACE, id, o)
	if _, refused := errors.AsType[*KernelError](err); err != nil && !refused {
		_, back := d.sendNextHop(ctx, v, unix.NLM_F_REPLACE, id, from)
		err = errors.Join(err, describe("take back", fmt.Sprint(o), back))
	}
	return got, err
}
