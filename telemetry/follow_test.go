package telemetry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"heddle/gen/state"
	"heddle/kernel/object"
	"heddle/schema"
)

// follow runs telemetry in a bubble of time for as long as fn takes.
func follow(t *testing.T, links []object.LinkState, fn func(t *testing.T, w *world)) {
	model(t) // not in the bubble: it outlives it
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, links...)
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		started := make(chan struct{})
		go func() { ended <- w.tel.Run(ctx, func() { close(started) }) }()
		<-started
		synctest.Wait()
		w.kernel.took()
		fn(t, w)
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

func TestFollow(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1"), ethernet("e2")}, func(t *testing.T, w *world) {
		const oper = "/interfaces/interface[name=e1]/state/oper-status"
		w.expect(oper, `"UP"`)
		w.kernel.set(func(k *kernel) {
			k.addresses = append(k.addresses, address("e1", "192.0.2.1/24"))
			delete(k.links, "e2")
		})
		for range 5 {
			w.kernel.tell(LinkEvent{Link: "e1"})
		}
		w.kernel.tell(LinkEvent{Link: "e2"})
		w.kernel.tell(LinkEvent{}) // an address of a link that has just gone
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]/subinterfaces/subinterface[index=0]/ipv4/addresses/address[ip=192.0.2.1]/state/prefix-length", "24")
		w.expect("/interfaces/interface[name=e2]", "")
		reads := w.kernel.took()
		slices.Sort(reads)
		if reads = slices.Compact(reads); !slices.Equal(reads, []string{"link e1", "link e2"}) {
			t.Errorf("read %v", reads)
		}
	})
}

// TestOneBadLink: a link that cannot be read is read again later, and keeps
// nobody from being read.
func TestOneBadLink(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1"), ethernet("e2")}, func(t *testing.T, w *world) {
		w.kernel.set(func(k *kernel) {
			k.links = map[string]object.LinkState{}
			k.fail["e1"] = errKernel
			w.kernel.watches[0] <- LinkEvent{Link: "e1"}
			w.kernel.watches[0] <- LinkEvent{Link: "e2"}
		})
		synctest.Wait()
		w.expect("/interfaces/interface[name=e2]", "")
		w.expect("/interfaces/interface[name=e1]/state/oper-status", `"UP"`)
		w.kernel.set(func(k *kernel) { delete(k.fail, "e1") })
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]/state/oper-status", `"UP"`)
		wait(t.Context(), retryAfter)
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]", "")
	})
}

func TestResync(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1"), ethernet("e2")}, func(t *testing.T, w *world) {
		w.kernel.set(func(k *kernel) {
			delete(k.links, "e1")
			k.links["e3"] = ethernet("e3")
			k.fail[""] = errKernel
		})
		w.kernel.tell(LinkEvent{Link: "e2"})
		w.kernel.tell(LinkEvent{Resync: true})
		synctest.Wait()
		w.expect("/interfaces/interface[name=e3]", "")
		w.kernel.set(func(k *kernel) { delete(k.fail, "") })
		wait(t.Context(), retryAfter)
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]", "")
		w.expect("/interfaces/interface[name=e3]/state/oper-status", `"UP"`)
	})
}

// TestWatchEnds: telemetry watches again, and reads all that it missed.
func TestWatchEnds(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1")}, func(t *testing.T, w *world) {
		w.kernel.set(func(k *kernel) {
			delete(k.links, "e1")
			k.fail["watch"] = errKernel
		})
		w.kernel.endWatch()
		wait(t.Context(), 3*retryAfter)
		w.expect("/interfaces/interface[name=e1]/state/oper-status", `"UP"`)
		w.kernel.set(func(k *kernel) { delete(k.fail, "watch") })
		wait(t.Context(), 2*retryAfter)
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]", "")
		w.kernel.set(func(k *kernel) { k.links["e1"] = ethernet("e1") })
		w.kernel.tell(LinkEvent{Link: "e1"})
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]/state/oper-status", `"UP"`)
	})
}

func TestRunFailsToStart(t *testing.T) {
	for _, what := range []string{"watch", ""} {
		w := newWorld(t)
		w.kernel.fail[what] = errKernel
		err := w.tel.Run(t.Context(), func() { t.Error("started") })
		if !errors.Is(err, errKernel) {
			t.Errorf("%q: %v", what, err)
		}
	}
}

// TestPeerRenamed: the kernel announces one end of a veth, and the other end has
// changed with it.
func TestPeerRenamed(t *testing.T) {
	follow(t, []object.LinkState{veth("e1", "e2"), veth("e2", "e1"), ethernet("e3")}, func(t *testing.T, w *world) {
		w.kernel.set(func(k *kernel) {
			delete(k.links, "e2")
			k.links["e1"], k.links["x"] = veth("e1", "x"), veth("x", "e1")
		})
		w.kernel.tell(LinkEvent{Link: "e2"})
		w.kernel.tell(LinkEvent{Link: "x"})
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]/veth/state/peer", `"x"`)
		w.expect("/interfaces/interface[name=x]/veth/state/peer", `"e1"`)
		w.expect("/interfaces/interface[name=e2]", "")
		// It moves to another namespace.
		w.kernel.set(func(k *kernel) {
			delete(k.links, "x")
			k.links["e1"] = veth("e1", "")
		})
		w.kernel.tell(LinkEvent{Link: "x"})
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]/veth", "")
		if reads := w.kernel.took(); slices.Contains(reads, "link e3") || slices.Contains(reads, "links") {
			t.Errorf("read %v", reads)
		}
	})
}

// TestOvertakenReading: what was read earlier is not published later.
func TestOvertakenReading(t *testing.T) {
	for _, slow := range []string{"/", "/interfaces/interface[name=e1]"} {
		t.Run(slow, func(t *testing.T) {
			w := newWorld(t, ethernet("e1"))
			w.refresh("/")
			reading, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			w.kernel.set(func(k *kernel) {
				k.pause = func(string) {
					once.Do(func() {
						close(reading)
						<-release
					})
				}
			})
			var wg sync.WaitGroup
			wg.Go(func() { w.refresh(slow) })
			<-reading
			w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
			wg.Go(func() { w.refresh("/interfaces/interface[name=e1]") })
			close(release)
			wg.Wait()
			w.expect("/interfaces/interface[name=e1]", "")
		})
	}
}

// TestConfiguredDuringReading: a Set does not wait for the kernel to be read, and
// what it says is not lost to a reading that began before.
func TestConfiguredDuringReading(t *testing.T) {
	w := newWorld(t, ethernet("e1"))
	w.refresh("/")
	reading, release := make(chan struct{}), make(chan struct{})
	w.kernel.set(func(k *kernel) {
		k.pause = func(string) {
			close(reading)
			<-release
		}
	})
	var wg sync.WaitGroup
	wg.Go(func() { w.refresh("/") })
	<-reading
	w.commit(w.edit(schema.Update, "/interfaces/interface[name=e1]/config", `{"description": "new"}`))
	w.expect("/interfaces/interface[name=e1]/state/description", `"new"`)
	close(release)
	wg.Wait()
	w.expect("/interfaces/interface[name=e1]/state/description", `"new"`)
}

// ifindexes is what a subscriber is told of the index of e1, 0 for its delete.
func (w *world) ifindexes(t *testing.T, fn func()) (told []uint32) {
	t.Helper()
	key := w.path("/interfaces/interface[name=e1]").Entry()
	_, feed := w.tel.Watch()
	defer feed.Close()
	fn()
	w.refresh("/interfaces/interface[name=last]") // outside of any commit
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for {
		e, _, err := feed.Next(done)
		if err != nil {
			return told
		}
		for _, c := range e.Changes {
			if c.Key != key {
				continue
			}
			index := uint32(0)
			if i, ok := c.New.(*state.Interface); ok {
				index = *i.Ifindex
			}
			told = append(told, index)
		}
	}
}

// remake deletes e1 and makes it anew with another index, with fn in between, and
// an event for each.
func (w *world) remake(index int, fn func()) {
	w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
	w.kernel.tell(LinkEvent{Link: "e1"})
	fn()
	w.kernel.set(func(k *kernel) {
		l := ethernet("e1")
		l.Index = index
		k.links["e1"] = l
	})
	w.kernel.tell(LinkEvent{Link: "e1"})
}

// TestLinkMadeAnewInACommit: one batch leads from the old link to the new one,
// and nothing is published before the commit has ended.
func TestLinkMadeAnewInACommit(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1"), ethernet("e2")}, func(t *testing.T, w *world) {
		told := w.ifindexes(t, func() {
			w.gate.begin()
			w.remake(7, func() {
				synctest.Wait()
				if reads := w.kernel.took(); len(reads) > 0 {
					t.Errorf("read %v in a commit", reads)
				}
				w.expect("/interfaces/interface[name=e1]/state/ifindex", "1")
			})
			synctest.Wait()
			w.expect("/interfaces/interface[name=e1]/state/ifindex", "1")
			w.gate.end(false)
			synctest.Wait()
		})
		if !slices.Equal(told, []uint32{7}) {
			t.Errorf("told of the indices %v", told)
		}
		// Somebody else's delete is no commit: it is shown as it is.
		told = w.ifindexes(t, func() { w.remake(8, synctest.Wait); synctest.Wait() })
		if !slices.Equal(told, []uint32{0, 8}) {
			t.Errorf("told of the indices %v", told)
		}
	})
}

// TestReadingOvertakenByACommit: what was read before a commit, or in it, is void
// when it has begun meanwhile.
func TestReadingOvertakenByACommit(t *testing.T) {
	for name, e := range map[string]LinkEvent{"one link": {Link: "e1"}, "all links": {Resync: true}} {
		t.Run(name, func(t *testing.T) {
			follow(t, []object.LinkState{ethernet("e1")}, func(t *testing.T, w *world) {
				var once sync.Once
				w.kernel.set(func(k *kernel) {
					delete(k.links, "e1")
					k.pause = func(string) { once.Do(w.gate.begin) }
				})
				told := w.ifindexes(t, func() {
					w.kernel.tell(e)
					synctest.Wait()
					w.expect("/interfaces/interface[name=e1]/state/ifindex", "1")
					w.kernel.set(func(k *kernel) { l := ethernet("e1"); l.Index = 7; k.links["e1"] = l })
					w.gate.end(false)
					synctest.Wait()
				})
				if !slices.Equal(told, []uint32{7}) {
					t.Errorf("told of the indices %v", told)
				}
			})
		})
	}
}

// TestCommitsWithoutEnd do not hide the links for good.
func TestCommitsWithoutEnd(t *testing.T) {
	follow(t, []object.LinkState{ethernet("e1")}, func(t *testing.T, w *world) {
		w.gate.begin()
		w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
		w.kernel.tell(LinkEvent{Link: "e1"})
		synctest.Wait()
		for range mostCommits - 1 {
			w.gate.end(true)
			synctest.Wait()
		}
		w.expect("/interfaces/interface[name=e1]/state/ifindex", "1")
		w.gate.end(true)
		synctest.Wait()
		w.expect("/interfaces/interface[name=e1]", "")
		w.gate.end(false)
	})
}

// TestRefreshInACommit waits for its end, and not for long.
func TestRefreshInACommit(t *testing.T) {
	for _, path := range []string{"/", "/interfaces/interface[name=e1]"} {
		t.Run(path, func(t *testing.T) {
			follow(t, []object.LinkState{ethernet("e1")}, func(t *testing.T, w *world) {
				w.gate.begin()
				w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
				var wg sync.WaitGroup
				wg.Go(func() { w.refresh(path) })
				synctest.Wait()
				w.expect("/interfaces/interface[name=e1]/state/ifindex", "1")
				w.kernel.set(func(k *kernel) { l := ethernet("e1"); l.Index = 7; k.links["e1"] = l })
				w.gate.end(false)
				wg.Wait()
				w.expect("/interfaces/interface[name=e1]/state/ifindex", "7")

				w.gate.begin()
				w.kernel.set(func(k *kernel) { delete(k.links, "e1") })
				before := time.Now()
				w.refresh(path)
				if took := time.Since(before); took != refreshPatience {
					t.Errorf("waited %v", took)
				}
				w.expect("/interfaces/interface[name=e1]", "")
				gone, cancel := context.WithCancel(t.Context())
				cancel()
				if err := w.tel.Refresh(gone, []schema.Path{w.path(path)}); !errors.Is(err, context.Canceled) {
					t.Errorf("who has gone: %v", err)
				}
				w.gate.end(false)
			})
		})
	}
}
