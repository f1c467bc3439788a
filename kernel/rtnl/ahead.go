package rtnl

import "context"

// aheadBy is how many datagrams may wait to be looked at.
const aheadBy = 4

// requestAhead is request with another goroutine that calls fn: it looks at one
// datagram while the kernel makes the next, which is most of what a long answer
// takes. It has returned from fn for good when requestAhead returns.
func (c *conn) requestAhead(ctx context.Context, fn func(*message)) error {
	c.drain()
	if err := c.send(c.out.b); err != nil {
		return err
	}
	whole := c.buf
	free, full := make(chan []byte, aheadBy), make(chan []byte, aheadBy)
	for i := range aheadBy {
		part := len(whole) / aheadBy
		free <- whole[i*part:][:part:part]
	}
	looked := make(chan struct{})
	go func() {
		defer close(looked)
		var all answers
		for b := range full {
			_, _ = all.read(b, c.seq, fn) // how it ends is seen below
			free <- b[:cap(b)]
		}
	}()
	defer func() {
		close(full)
		<-looked
		c.buf = whole
	}()
	var all answers
	for {
		c.buf = <-free
		b, err := c.recv(ctx)
		if err != nil {
			return err
		}
		ended, err := all.read(b, c.seq, nil)
		full <- b
		if ended {
			return err
		}
	}
}
