package control

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// packTar writes a file or directory as a tar stream whose names begin with the
// base name of path. Sockets and devices are left out.
func packTar(path string, w io.Writer) error {
	path = filepath.Clean(path)
	if _, err := os.Lstat(path); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	tw := tar.NewWriter(w)
	base := filepath.Dir(path)
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode()
		if !mode.IsRegular() && !mode.IsDir() && mode&fs.ModeSymlink == 0 {
			return nil
		}
		return packOne(tw, base, p, info)
	})
	if err = errors.Join(err, tw.Close()); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return nil
}

func packOne(tw *tar.Writer, base, path string, info fs.FileInfo) error {
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	head, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	if head.Name, err = filepath.Rel(base, path); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return tw.WriteHeader(head)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// A log may grow while it is copied; what was there at the start is sent.
	if err := tw.WriteHeader(head); err != nil {
		return err
	}
	_, err = io.CopyN(tw, f, head.Size)
	return err
}

// unpackTar unpacks into dest. When dest is an existing directory the names go
// into it; otherwise the stream's one top entry is called dest.
func unpackTar(r io.Reader, dest string) error {
	into, rename := dest, ""
	if info, err := os.Stat(dest); err != nil || !info.IsDir() {
		into, rename = filepath.Dir(dest), filepath.Base(dest)
		if strings.HasSuffix(dest, "/") {
			return fmt.Errorf("copy to %s: there is no such directory", dest)
		}
	}
	root, err := os.OpenRoot(into)
	if err != nil {
		return fmt.Errorf("copy to %s: %w", dest, err)
	}
	defer root.Close()
	tr := tar.NewReader(r)
	for {
		head, err := tr.Next()
		if errors.Is(err, io.EOF) {
			// To the end of the stream, so that the sender is not cut off.
			_, err := io.Copy(io.Discard, r)
			return err
		}
		if err != nil {
			return fmt.Errorf("copy to %s: %w", dest, err)
		}
		name := filepath.Clean(head.Name)
		if rename != "" {
			_, rest, _ := strings.Cut(name, "/")
			name = filepath.Join(rename, rest)
		}
		if err := unpackOne(root, name, head, tr); err != nil {
			return fmt.Errorf("copy to %s: %w", dest, err)
		}
	}
}

func unpackOne(root *os.Root, name string, head *tar.Header, r io.Reader) error {
	mode := head.FileInfo().Mode()
	switch head.Typeflag {
	case tar.TypeDir:
		if err := root.Mkdir(name, mode.Perm()|0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	case tar.TypeSymlink:
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return root.Symlink(head.Linkname, name)
	case tar.TypeReg:
		// A running program's file cannot be written, but it can be replaced.
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, mode.Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("unpack %s: entries of type %q are not copied", name, head.Typeflag)
}
