package datastore

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// FS is the file system as far as the datastore needs it. Names are relative to
// the state directory; "." is the directory itself.
type FS interface {
	// OpenFile opens a file with the flags of package os; files are created
	// readable by their owner only, for a configuration may hold keys.
	OpenFile(name string, flag int) (File, error)
	// Rename puts from in the place of to, atomically.
	Rename(from, to string) error
	// Link gives the file a second name that must be free.
	Link(from, to string) error
	Remove(name string) error
}

// File is an open file of an FS.
type File interface {
	io.ReadWriteCloser
	// Sync returns when what was written is on stable storage: the content and
	// size of a file, the names in a directory.
	Sync() error
	Truncate(size int64) error
}

// dirFS is the FS of the operating system.
type dirFS struct{ dir string }

// DirFS is the FS below a directory of the operating system, which must exist.
func DirFS(dir string) FS { return dirFS{dir} }

func (d dirFS) path(name string) string { return filepath.Join(d.dir, name) }

func (d dirFS) OpenFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(d.path(name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{File: f, directory: name == "."}, nil
}

func (d dirFS) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d dirFS) Link(from, to string) error   { return os.Link(d.path(from), d.path(to)) }
func (d dirFS) Remove(name string) error     { return os.Remove(d.path(name)) }

type osFile struct {
	*os.File
	directory bool
}

func (f osFile) Sync() error {
	if f.directory {
		return f.File.Sync()
	}
	// fdatasync: times of access and change are nobody's loss, and leaving them
	// out saves the journal a transaction on every small commit.
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return &fs.PathError{Op: "fdatasync", Path: f.Name(), Err: err}
		}
	}
}

// lockDir takes the state directory for this process, until the file returned
// is closed or the process ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", dir, ErrDirInUse)
		}
		return nil, &fs.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return f, nil
}

// readFile reads a whole file.
func readFile(fsys FS, name string) ([]byte, error) {
	f, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	var size int64
	if st, ok := f.(interface{ Stat() (fs.FileInfo, error) }); ok {
		// Sparing the copies of a buffer that grows; the size is a hint.
		if info, err := st.Stat(); err == nil {
			size = min(info.Size(), 1<<30)
		}
	}
	// Not a bytes.Buffer: that clears what is about to be filled.
	data := make([]byte, 0, size+bytes.MinRead)
	for err == nil {
		if len(data) == cap(data) {
			data = slices.Grow(data, bytes.MinRead)
		}
		var n int
		n, err = f.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return data, err
}

// writeAll writes all of p; a write that takes less without saying why is an
// error too.
func writeAll(w io.Writer, p []byte) error {
	n, err := w.Write(p)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return err
}

func syncDir(fsys FS) error {
	d, err := fsys.OpenFile(".", os.O_RDONLY)
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// removeIfThere removes a file; one that is not there is no error.
func removeIfThere(fsys FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
