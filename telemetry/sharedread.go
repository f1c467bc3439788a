package telemetry

import (
	"context"
	"errors"
	"sync"
)

// sharedRead lets those who want the same long reading of the kernel at the same
// time have it together: who comes while one is under way waits for the next,
// which is one for all who wait. Its lock orders all readings.
type sharedRead struct {
	reading sync.Mutex // held while the kernel is read and what was read is published

	mu   sync.Mutex // guards next
	next *pendingRead
}

// pendingRead has not begun: all that happened before it was joined will be in it.
type pendingRead struct {
	done chan struct{} // closed once err is set
	err  error
}

// do returns after a call of read that began after do was called.
func (s *sharedRead) do(ctx context.Context, read func(context.Context) error) error {
	for {
		s.mu.Lock()
		p := s.next
		if p == nil {
			p = &pendingRead{done: make(chan struct{})}
			s.next = p
			s.mu.Unlock()
			s.lead(ctx, p, read)
			return p.err
		}
		s.mu.Unlock()
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		// The reading may have ended with its leader, who is not all of us.
		if !errors.Is(p.err, context.Canceled) && !errors.Is(p.err, context.DeadlineExceeded) {
			return p.err
		}
	}
}

func (s *sharedRead) lead(ctx context.Context, p *pendingRead, read func(context.Context) error) {
	defer close(p.done)
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	s.next = nil
	s.mu.Unlock()
	p.err = read(ctx)
}
