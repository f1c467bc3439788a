package reconcile

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"heddle/kernel/object"
)

// How repairs are repeated.
const (
	// A repair that fails is tried again after troubleFirst, and each time after
	// twice as long, up to troubleMost.
	troubleFirst = 200 * time.Millisecond
	troubleMost  = 30 * time.Second

	// An object that drifts more than fightFree times in a row, each within
	// fightWindow of the last, is being fought over: its repairs are delayed in the
	// same way.
	fightFree   = 5
	fightWindow = 10 * time.Second
)

// window is for how long a drift counts as one of those before.
func (t *trouble) window() time.Duration {
	if t.drifts > fightFree {
		return fightWindow + backOff(t.drifts-fightFree)
	}
	return fightWindow
}

func backOff(times int) time.Duration {
	d := troubleFirst
	for ; times > 1 && d < troubleMost; times-- {
		d *= 2
	}
	return min(d, troubleMost)
}

// trouble is what is remembered of an object that drifted.
type trouble struct {
	reason string // why it is not put right; empty: it is

	drifts int       // without rest in between
	tries  int       // that failed in a row
	last   time.Time // when it drifted, or was tried
	next   time.Time // it is left alone until then; zero: for good

	follows bool // another one is tried first
}

func (t *trouble) holds(now time.Time) bool {
	return t.reason != "" && (t.follows || t.next.IsZero() || now.Before(t.next))
}

// troubles are those of all objects. The writer changes them, anybody may ask.
type troubles struct {
	mu    sync.RWMutex
	byKey map[object.Key]*trouble
}

func (s *troubles) reason(k object.Key) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if t := s.byKey[k]; t != nil {
		return t.reason
	}
	return ""
}

// holding returns what tells the keys that are to be left alone at present; nil:
// none is.
func (s *troubles) holding(now time.Time) func(object.Key) bool {
	return s.which(func(t *trouble) bool { return t.holds(now) })
}

// pending is holding for commits: what is due to be tried again is no business of
// theirs either.
func (s *troubles) pending() func(object.Key) bool {
	return s.which(func(t *trouble) bool { return t.reason != "" })
}

func (s *troubles) which(fits func(*trouble) bool) func(object.Key) bool {
	if s.none() {
		return nil
	}
	return func(k object.Key) bool {
		s.mu.RLock()
		defer s.mu.RUnlock()
		t := s.byKey[k]
		return t != nil && fits(t)
	}
}

// scout is the one of many that failed for the same reason which is tried first:
// while it fails, they would, too.
type scout struct {
	key    object.Key
	reason string
	others []*trouble
}

// manyAlike is from when on a scout is sent.
const manyAlike = 16

// send makes the others of those that are due and alike wait for their scout. It
// is followed by follow.
func (s *troubles) send(now time.Time) []scout {
	type alike struct {
		kind   object.Kind
		reason string
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	due := map[alike][]object.Key{}
	for k, t := range s.byKey {
		if t.reason != "" && t.tries > 0 && !t.holds(now) {
			due[alike{k.Kind, t.reason}] = append(due[alike{k.Kind, t.reason}], k)
		}
	}
	var scouts []scout
	for a, keys := range due {
		if len(keys) < manyAlike {
			continue
		}
		sc := scout{key: slices.MinFunc(keys, object.Key.Compare), reason: a.reason}
		for _, k := range keys {
			if k != sc.key {
				t := s.byKey[k]
				t.follows = true
				sc.others = append(sc.others, t)
			}
		}
		scouts = append(scouts, sc)
	}
	return scouts
}

// follow has the others go the way of their scout, and reports whether some can be
// tried now.
func (s *troubles) follow(scouts []scout, now time.Time) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sc := range scouts {
		t := s.byKey[sc.key]
		alike := t != nil && t.reason == sc.reason
		for _, o := range sc.others {
			o.follows = false
			switch {
			case !alike:
				o.tries, o.next, again = 0, now, true
			case now.Before(t.next): // it failed again
				o.tries, o.next = t.tries, t.next
			}
		}
	}
	return again
}

// heldKeys are those with a reason.
func (s *troubles) heldKeys() []object.Key {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys []object.Key
	for k, t := range s.byKey {
		if t.reason != "" {
			keys = append(keys, k)
		}
	}
	return keys
}

func (s *troubles) of(k object.Key) *trouble {
	t := s.byKey[k]
	if t == nil {
		if s.byKey == nil {
			s.byKey = map[object.Key]*trouble{}
		}
		t = &trouble{}
		s.byKey[k] = t
	}
	return t
}

// drifted counts, and returns the keys that are left alone from now on because
// somebody else fights for them.
func (s *troubles) drifted(keys []object.Key, now time.Time) []object.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	var fought []object.Key
	for _, k := range keys {
		t := s.of(k)
		if t.drifts++; t.drifts > fightFree && t.tries == 0 && !t.holds(now) {
			delay := backOff(t.drifts - fightFree)
			t.reason = fmt.Sprintf("somebody else has changed it %d times in a row: it is put right %v after the last time", t.drifts, delay)
			t.next = now.Add(delay)
			fought = append(fought, k)
		}
		t.last = now
	}
	return fought
}

// reconsider has what failed, of some kinds, tried again now that something
// changed.
func (s *troubles) reconsider(kinds map[object.Kind]struct{}, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, t := range s.byKey {
		if _, ok := kinds[k.Kind]; ok && t.tries > 0 && !t.next.IsZero() {
			t.next = now
		}
	}
}

// retry has k tried again if it failed.
func (s *troubles) retry(k object.Key, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byKey[k]; t != nil && t.tries > 0 && !t.next.IsZero() {
		t.next = now
	}
}

// failed holds k back for a while.
func (s *troubles) failed(k object.Key, reason string, now time.Time) (repeated bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of(k)
	repeated = t.reason == reason
	t.tries++
	t.reason, t.last, t.next = reason, now, now.Add(backOff(t.tries))
	return repeated
}

// leave holds k back for good.
func (s *troubles) leave(k object.Key, reason string) (repeated bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.of(k)
	repeated = t.reason == reason
	t.reason, t.next = reason, time.Time{}
	return repeated
}

// first reports whether k was in order, as far as was reported.
func (s *troubles) first(k object.Key) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	t := s.byKey[k]
	return t == nil || t.reason == "" && t.tries == 0
}

// solved says that k is in order.
func (s *troubles) solved(k object.Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.byKey[k]; t != nil {
		t.reason, t.tries = "", 0
	}
}

// solvedBut says that all is in order but what leave names, and returns what was
// not before.
func (s *troubles) solvedBut(leave func(object.Key) bool) []object.Key {
	keys := s.heldKeys()
	if leave != nil {
		keys = slices.DeleteFunc(keys, leave)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range keys {
		t := s.byKey[k]
		t.reason, t.tries = "", 0
	}
	return keys
}

func (s *troubles) none() bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.byKey) == 0
}

// prune forgets what has been quiet.
func (s *troubles) prune(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, t := range s.byKey {
		if t.reason == "" && now.Sub(t.last) > t.window() {
			delete(s.byKey, k)
		}
	}
}

// next is how long it is until something is to be tried again, or forgotten.
func (s *troubles) next(now time.Time) time.Duration {
	s.mu.RLock()
	defer s.mu.RUnlock()
	wait := time.Hour
	for _, t := range s.byKey {
		switch {
		case t.reason == "":
			wait = min(wait, t.window())
		case !t.next.IsZero():
			wait = min(wait, t.next.Sub(now))
		}
	}
	return max(wait, 0)
}
