package feed

import (
	"context"
	"errors"
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func size(int) int { return 0 }

func TestReadersGetEverythingAfterTheyStart(t *testing.T) {
	f := New(1000, 0, size)
	f.Publish(1, func() {})
	latest, r := f.Watch()
	defer r.Close()
	if latest != 1 {
		t.Fatalf("latest is %d, want 1", latest)
	}
	f.Publish(2, func() {})
	f.Publish(3, func() {})
	for want := 2; want <= 3; want++ {
		e, lost, err := r.Next(t.Context())
		if e != want || lost || err != nil {
			t.Fatalf("Next: %d, %v, %v; want %d", e, lost, err, want)
		}
	}
}

func TestSlowReaderIsToldWhatItLost(t *testing.T) {
	f := New(4, 0, size)
	_, r := f.Watch()
	defer r.Close()
	for i := 1; i <= 10; i++ {
		f.Publish(i, func() {})
	}
	if e, lost, err := r.Next(t.Context()); e != 10 || !lost || err != nil {
		t.Fatalf("Next: %d, %v, %v; want the latest, 10, and lost", e, lost, err)
	}
	f.Publish(11, func() {})
	if e, lost, err := r.Next(t.Context()); e != 11 || lost || err != nil {
		t.Fatalf("Next: %d, %v, %v; want 11 without a loss", e, lost, err)
	}
}

func TestLargeEventReachesThoseWhoKeepUp(t *testing.T) {
	f := New(4, 0, func(e int) int { return e })
	_, r := f.Watch()
	defer r.Close()
	f.PublishAs(100, 7, func() {})
	if e, lost, err := r.Next(t.Context()); e != 100 || lost || err != nil {
		t.Errorf("Next: %d, %v, %v; want 100: an event above the limit is no lag", e, lost, err)
	}
	if latest, other := f.Watch(); latest != 7 {
		t.Errorf("latest is %d, want what it was published as, 7", latest)
	} else {
		other.Close()
	}
	f.Publish(2, func() {})
	f.Publish(3, func() {})
	if e, lost, err := r.Next(t.Context()); e != 3 || !lost || err != nil {
		t.Errorf("Next: %d, %v, %v; want 3 and lost", e, lost, err)
	}
}

func TestEnds(t *testing.T) {
	f := New(10, 0, size)
	_, gone := f.Watch()
	_, r := f.Watch()
	gone.Close()
	if _, _, err := gone.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next of a closed reader: %v", err)
	}
	f.Publish(1, func() {})
	f.Close()
	f.Close()
	if e, _, err := r.Next(t.Context()); e != 1 || err != nil {
		t.Errorf("Next after Close: %d, %v; what was there is still to be read", e, err)
	}
	if _, _, err := r.Next(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Next past the end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, waiting := New(10, 0, size).Watch()
	if _, _, err := waiting.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a cancelled context: %v", err)
	}
}

func TestManyReadersSeeOneOrder(t *testing.T) {
	f := New(1<<20, 0, size)
	const events, readers = 2000, 20
	var wg sync.WaitGroup
	for range readers {
		last, r := f.Watch()
		wg.Go(func() {
			defer r.Close()
			for last < events {
				e, lost, err := r.Next(t.Context())
				if err != nil || lost || e != last+1 {
					t.Errorf("got %d after %d, lost %v, error %v", e, last, lost, err)
					return
				}
				last = e
			}
		})
	}
	for i := 1; i <= events; i++ {
		f.Publish(i, func() {})
	}
	wg.Wait()
}
