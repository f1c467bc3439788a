package access

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

// lookEvery is how often files are looked at.
const lookEvery = 3 * time.Second

// stamp tells whether a file may have changed.
type stamp struct {
	there bool
	size  int64
	mtime time.Time
	ident any // of the file itself: a renamed one has another
}

func stampOf(path string) stamp {
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		fi, err = os.Lstat(path) // a link that leads nowhere
	}
	if err != nil {
		return stamp{there: !errors.Is(err, fs.ErrNotExist)}
	}
	return stamp{there: true, size: fi.Size(), mtime: fi.ModTime(), ident: inode(fi)}
}

// readIfThere reads a file; nil without an error: there is none. A link that leads
// nowhere is one that cannot be read.
func readIfThere(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, lerr := os.Lstat(path); errors.Is(lerr, fs.ErrNotExist) {
			return nil, nil
		}
	}
	return text, err
}

// watched are files that are read together.
type watched struct {
	paths []string
	last  []stamp
}

// changed reports whether one of the files is not what it was when changed last
// said so.
func (w *watched) changed() bool {
	now := make([]stamp, len(w.paths))
	differ := len(w.last) != len(now)
	for i, p := range w.paths {
		now[i] = stampOf(p)
		differ = differ || now[i] != w.last[i]
	}
	w.last = now
	return differ
}

// source is something that is read from files.
type source interface {
	// look reads the files again if they changed, or in any case if force is set,
	// and reports whether what they say is something else now.
	look(force bool) bool
}

// Watch looks at the files until ctx ends, and reads them all when told to. What a
// change means for calls under way is carried out.
func (g *Guard) Watch(ctx context.Context, now <-chan os.Signal) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-now:
			g.look(true)
		case <-tick.C:
			g.look(false)
		}
	}
}

func (g *Guard) look(force bool) {
	g.looking.Lock()
	defer g.looking.Unlock()
	news := false
	for _, s := range g.sources() {
		if s.look(force) {
			news = true
		}
	}
	if news {
		g.review()
	}
}
