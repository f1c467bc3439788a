// Package image makes the initramfs a lab machine boots from: a cpio archive of
// this program as /init, busybox, the real iproute2 and friends with their
// libraries, the kernel modules a router needs, and the binaries under test. It
// serves lab/cli and runs without root. It must not know how the machine is run.
package image

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"
)

// entry is one file of the archive: exactly one of text, source and link counts.
type entry struct {
	mode   fs.FileMode
	text   []byte
	source string // a file of this machine
	unpack string // program that decompresses source to stdout, or empty
	link   string
}

// Builder collects the files of an image. Later additions of a path replace
// earlier ones.
type Builder struct {
	entries map[string]entry
	libs    *libraries
}

// NewBuilder returns a builder with nothing but the root directory.
func NewBuilder() *Builder {
	return &Builder{entries: map[string]entry{}, libs: newLibraries()}
}

// dirs adds the directories above a path.
func (b *Builder) dirs(p string) {
	for d := path.Dir(p); d != "/" && d != "."; d = path.Dir(d) {
		if _, ok := b.entries[d]; !ok {
			b.entries[d] = entry{mode: fs.ModeDir | 0o755}
		}
	}
}

// Dir adds an empty directory.
func (b *Builder) Dir(p string, perm fs.FileMode) {
	b.dirs(p)
	b.entries[p] = entry{mode: fs.ModeDir | perm}
}

// Text adds a file with the given content.
func (b *Builder) Text(p, text string, perm fs.FileMode) {
	b.dirs(p)
	b.entries[p] = entry{mode: perm, text: []byte(text)}
}

// File adds a copy of a file of this machine, with its permissions.
func (b *Builder) File(p, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("add %s to image: %w", p, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("add %s to image: %s is not a regular file", p, source)
	}
	b.dirs(p)
	b.entries[p] = entry{mode: info.Mode().Perm(), source: source}
	return nil
}

// Tree adds a file, or a directory with all regular files and links below it.
func (b *Builder) Tree(p, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("add %s to image: %w", p, err)
	}
	if !info.IsDir() {
		return b.File(p, source)
	}
	return filepath.WalkDir(source, func(src string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("add %s to image: %w", p, err)
		}
		rel, err := filepath.Rel(source, src)
		if err != nil {
			return fmt.Errorf("add %s to image: %w", p, err)
		}
		to := path.Join(p, filepath.ToSlash(rel))
		switch {
		case d.IsDir():
			b.Dir(to, 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(src)
			if err != nil {
				return fmt.Errorf("add %s to image: %w", to, err)
			}
			b.Link(to, link)
		case d.Type().IsRegular():
			return b.File(to, src)
		}
		return nil
	})
}

// Link adds a symbolic link.
func (b *Builder) Link(p, target string) {
	b.dirs(p)
	b.entries[p] = entry{mode: fs.ModeSymlink | 0o777, link: target}
}

// Has reports whether a path is in the image.
func (b *Builder) Has(p string) bool {
	_, ok := b.entries[p]
	return ok
}

// Program adds an executable of this machine with the shared libraries it needs.
func (b *Builder) Program(p, source string) error {
	if err := b.File(p, source); err != nil {
		return err
	}
	libs, err := b.libs.closure(source)
	if err != nil {
		return fmt.Errorf("add %s to image: %w", p, err)
	}
	for guest, host := range libs {
		if err := b.File(guest, host); err != nil {
			return err
		}
	}
	return nil
}

func (b *Builder) paths() []string {
	out := make([]string, 0, len(b.entries))
	for p := range b.entries {
		out = append(out, p)
	}
	sort.Strings(out) // a directory sorts before what is in it
	return out
}

// Hash names the content: it changes when any file's path, mode or content does.
func (b *Builder) Hash() (string, error) {
	sum := sha256.New()
	for _, p := range b.paths() {
		e := b.entries[p]
		fmt.Fprintf(sum, "%s\x00%o\x00%s\x00%s\x00", p, e.mode, e.link, e.unpack)
		content := sha256.New()
		if err := e.copyTo(content, false); err != nil {
			return "", fmt.Errorf("read %s for image: %w", p, err)
		}
		sum.Write(content.Sum(nil))
	}
	return hex.EncodeToString(sum.Sum(nil))[:24], nil
}

// copyTo writes the content; unpacked says whether compressed sources are
// written as they will be in the image or as they are on disk.
func (e entry) copyTo(w io.Writer, unpacked bool) error {
	if e.source == "" {
		_, err := w.Write(e.text)
		return err
	}
	if unpacked && e.unpack != "" {
		return decompress(w, e.unpack, e.source)
	}
	f, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// Write writes the archive in the "newc" format, which the kernel unpacks.
func (b *Builder) Write(w io.Writer) error {
	out := bufio.NewWriterSize(w, 1<<20)
	c := &cpio{w: out}
	for _, p := range b.paths() {
		if err := c.add(p, b.entries[p]); err != nil {
			return fmt.Errorf("write %s to image: %w", p, err)
		}
	}
	if err := c.header("TRAILER!!!", 0, 0); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write image: %w", err)
	}
	return nil
}

// Save writes the image below dir under a name made of its hash, unless it is
// there already, and returns the path. made says whether it was written.
func (b *Builder) Save(dir string) (file string, made bool, err error) {
	hash, err := b.Hash()
	if err != nil {
		return "", false, err
	}
	file = filepath.Join(dir, hash+".cpio")
	if _, err := os.Stat(file); err == nil {
		return file, false, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", false, fmt.Errorf("create image directory: %w", err)
	}
	f, err := os.CreateTemp(dir, "new-*")
	if err != nil {
		return "", false, fmt.Errorf("create image: %w", err)
	}
	err = b.Write(f)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		return "", false, errors.Join(err, os.Remove(f.Name()))
	}
	return file, true, nil
}

// Prune removes all but the newest images of a directory. A machine that runs
// has read its image already.
func Prune(dir string, keep int) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.cpio"))
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	age := map[string]int64{}
	for _, f := range files {
		if info, err := os.Stat(f); err == nil {
			age[f] = info.ModTime().UnixNano()
		}
	}
	sort.Slice(files, func(i, j int) bool { return age[files[i]] > age[files[j]] })
	for _, f := range files[min(keep, len(files)):] {
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove old image: %w", err)
		}
	}
	return nil
}

// cpio writes the "newc" format: a header of hexadecimal fields, the name, the
// content, each padded to four octets.
type cpio struct {
	w   *bufio.Writer
	ino int
	at  int64
}

func (c *cpio) add(p string, e entry) error {
	const typeDir, typeFile, typeLink = 0o040000, 0o100000, 0o120000
	name := strings.TrimPrefix(p, "/")
	mode := uint32(e.mode.Perm())
	switch {
	case e.mode.IsDir():
		return c.header(name, mode|typeDir, 0)
	case e.mode&fs.ModeSymlink != 0:
		if err := c.header(name, mode|typeLink, int64(len(e.link))); err != nil {
			return err
		}
		return c.body([]byte(e.link))
	}
	content, size, err := e.open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := c.header(name, mode|typeFile, size); err != nil {
		return err
	}
	n, err := io.Copy(c.w, content)
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("the file changed while it was read: %d octets, then %d", size, n)
	}
	c.at += n
	return c.pad()
}

// open returns the content with its size, which stands in front in the archive.
func (e entry) open() (io.ReadCloser, int64, error) {
	if e.source == "" || e.unpack != "" {
		var buf strings.Builder
		if err := e.copyTo(&buf, true); err != nil {
			return nil, 0, err
		}
		return io.NopCloser(strings.NewReader(buf.String())), int64(buf.Len()), nil
	}
	f, err := os.Open(e.source)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (c *cpio) header(name string, mode uint32, size int64) error {
	c.ino++
	links := 1
	n, err := fmt.Fprintf(c.w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
		c.ino, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	c.at += int64(n)
	if err != nil {
		return err
	}
	return c.pad()
}

func (c *cpio) body(p []byte) error {
	n, err := c.w.Write(p)
	c.at += int64(n)
	if err != nil {
		return err
	}
	return c.pad()
}

func (c *cpio) pad() error {
	for ; c.at%4 != 0; c.at++ {
		if err := c.w.WriteByte(0); err != nil {
			return err
		}
	}
	return nil
}
