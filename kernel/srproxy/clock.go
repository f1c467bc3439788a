package srproxy

import (
	"time"

	"golang.org/x/sys/unix"
)

// clockMoved is by how much the machine's clock has been set, at the least: by less it
// only runs a little apart, and a time that is shown stays as it is.
const clockMoved = int64(time.Second)

// since is when the programs' clock was 0 by the machine's clock as it is now.
func (c *programs) since() int64 {
	if now := bootTime(); now-c.boot > clockMoved || c.boot-now > clockMoved {
		c.boot = now
	}
	return c.boot
}

// bootTime is when the programs' clock, which stands still while the machine sleeps,
// was 0, in nanoseconds since 1970.
func bootTime() int64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	return time.Now().UnixNano() - now.Nano()
}
