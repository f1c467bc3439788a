package telemetry

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// joining is a context that tells when somebody begins to wait by it.
type joining struct {
	context.Context
	joined chan<- struct{}
}

func (j joining) Done() <-chan struct{} {
	j.joined <- struct{}{}
	return j.Context.Done()
}

// TestSharedRead: who comes during a reading gets the next one, together with all
// others who did; when its leader gives up, they go on without him.
func TestSharedRead(t *testing.T) {
	const followers = 8
	for _, givesUp := range []bool{false, true} {
		var s sharedRead
		var reads atomic.Int32
		release := make(chan struct{})
		read := func(ctx context.Context) error {
			reads.Add(1)
			<-release
			return ctx.Err()
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.do(context.Background(), read) })
		for reads.Load() == 0 {
			runtime.Gosched()
		}
		ctx, cancel := context.WithCancel(context.Background())
		wg.Go(func() {
			if err := s.do(ctx, read); errors.Is(err, context.Canceled) != givesUp {
				t.Errorf("leader: %v", err)
			}
		})
		for waits := false; !waits; runtime.Gosched() {
			s.mu.Lock()
			waits = s.next != nil
			s.mu.Unlock()
		}
		joined := make(chan struct{}, 100)
		for range followers {
			wg.Go(func() {
				if err := s.do(joining{context.Background(), joined}, read); err != nil {
					t.Errorf("follower: %v", err)
				}
			})
		}
		for range followers {
			<-joined
		}
		if givesUp {
			cancel()
		}
		close(release)
		wg.Wait()
		cancel()
		if n := reads.Load(); !givesUp && n != 2 || givesUp && n < 3 {
			t.Errorf("leader gives up %t: %d readings", givesUp, n)
		}
	}
}

// TestFollowerGivesUp waits for nobody.
func TestFollowerGivesUp(t *testing.T) {
	var s sharedRead
	s.next = &pendingRead{done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.do(ctx, func(context.Context) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
