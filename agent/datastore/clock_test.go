package datastore

import (
	"testing"
	"time"
)

// That somebody sets the clock, as NTP does on a router that has none of its own, moves
// neither the end of a lock nor when a commit is taken back.
func TestTimesDoNotJumpWithTheClock(t *testing.T) {
	r := start(t, newMemFS(), &kernel{}, func(c *Config) { c.Now = time.Now })
	steady := func(what string, at time.Time) {
		t.Helper()
		if at == at.Round(0) { //nolint:staticcheck // Round(0) takes away what does not jump, which Equal would not see
			t.Errorf("%s goes by the time of day alone: %v", what, at)
		}
	}
	if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x"}, link(t, "e3", "x")); err != nil {
		t.Fatal(err)
	}
	steady("the commit", r.Unconfirmed().Deadline)
	if err := r.as(ann, &Confirm{Action: ConfirmExtend, ID: "x", Within: time.Hour}); err != nil {
		t.Fatal(err)
	}
	steady("the commit with more time", r.Unconfirmed().Deadline)
	if _, err := r.lock(ann, time.Hour); err != nil {
		t.Fatal(err)
	}
	again := start(t, r.fs.reboot(loseNothing), &kernel{}, func(c *Config) { c.Now = time.Now })
	steady("the commit after a restart", again.Unconfirmed().Deadline)
	for _, s := range []*rig{r, again} {
		l, _ := s.Locked()
		steady("the lock", l.Until)
	}
}

// A clock that was set back while nothing ran has nobody wait for a year.
func TestClockSetBackBeforeAStart(t *testing.T) {
	for _, back := range []time.Duration{0, time.Hour, 365 * 24 * time.Hour} {
		c := newClock()
		r := start(t, newMemFS(), &kernel{}, withClock(c))
		if err := r.as(ann, &Confirm{Action: ConfirmBegin, ID: "x", Within: 5 * time.Minute}, link(t, "e3", "x")); err != nil {
			t.Fatal(err)
		}
		c.now = c.now.Add(-back)
		again := start(t, r.fs.reboot(loseNothing), &kernel{}, withClock(c))
		u := again.Unconfirmed()
		if u == nil {
			t.Fatalf("set back by %v: nothing waits", back)
		}
		if left := u.Deadline.Sub(c.now); left <= 0 || left > 5*time.Minute {
			t.Errorf("set back by %v: it waits for %v more", back, left)
		}
	}
}
