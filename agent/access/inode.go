package access

import (
	"io/fs"
	"syscall"
)

// inode identifies a file on its file system.
func inode(fi fs.FileInfo) any {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return [2]uint64{uint64(st.Dev), st.Ino}
	}
	return nil
}
