package telemetry

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

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
