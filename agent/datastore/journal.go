package datastore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/go-json-experiment/json"

	"heddle/schema"
)

// The journal is what commits have changed, for looking back and going back:
// history.log, and the older history.log.1. It is lines like those of the log: for
// every commit a recordHead, what each changed entry was before, and a recordEnd.
// What an entry became is what it was before the next commit that changed it, or
// what it is.
//
// A record is written before its commit, so one of a commit that failed or was cut
// off by a crash may be there: the last record of a revision counts, and none of a
// revision that is still to come. It is not on stable storage unless its commit is
// one that has to be confirmed: a power failure may cost some of the past, and never
// the present.
const (
	journalName = "history.log"
	olderSuffix = ".1"

	// maxJournal is the size of history.log in octets at which it becomes the older
	// one, and the largest record with what was before.
	maxJournal = 64 << 20
)

type recordHead struct {
	Revision uint64 `json:"record"`
	commitHead
	Entries int `json:"entries"`
	// Lost says that what was before is not there: the record is too large, or the
	// configuration before it was none of this journal.
	Lost bool `json:"lost,omitzero"`
}

// entryBefore is what an entry was before a commit; without a value it was not
// there.
type entryBefore = entryLine

type recordEnd struct {
	Revision uint64 `json:"end"`
}

// journal appends records. It is the writer's.
type journal struct {
	fs     FS
	schema *schema.Schema
	notes  *slog.Logger

	file  File // nil: not open
	size  int64
	limit int64 // maxJournal, except in tests
}

// begin writes the record of a commit that is to come; lost says that what was
// before is not known. The record of a large commit is written while something else
// goes on: wait says when it is done. Trouble is logged, and makes a gap in the past.
func (j *journal) begin(c Commit, changes []schema.Change, lost bool, large int) (wait func()) {
	if len(changes) < large {
		j.write(c, changes, lost, false)
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		j.write(c, changes, lost, false)
	}()
	return func() { <-done }
}

// write appends a record, to stable storage and with all that was before if sync is set.
func (j *journal) write(c Commit, changes []schema.Change, lost, sync bool) error {
	whole, err := j.append(c, changes, lost)
	if err == nil && sync && !whole {
		err = fmt.Errorf("what the commit changes has more than %d octets, too many to take it back: divide it, or do without confirmation", j.limit)
	}
	if err == nil && sync {
		err = j.file.Sync()
	}
	if err == nil {
		return nil
	}
	j.close()
	j.notes.Warn("history has a gap", "file", journalName, "revision", c.Revision, "error", err)
	return fmt.Errorf("write %s: %w", journalName, err)
}

// append reports whether the record has all that was before.
func (j *journal) append(c Commit, changes []schema.Change, lost bool) (whole bool, err error) {
	if err := j.open(); err != nil {
		return false, err
	}
	head := recordHead{Revision: c.Revision, commitHead: c.head(), Entries: len(changes), Lost: lost}
	buf := make([]byte, 0, min(len(changes)*256+512, journalChunk+8<<10))
	start := j.size
	if lost {
		changes = nil
	}
	buf = appendRecord(append(buf, '\n'), head) // the line before may be one that was cut off
	texts := j.schema.Texts()
	for _, ch := range changes {
		if buf = appendBefore(buf, texts, ch, j.schema); len(buf) >= journalChunk {
			if err := j.put(buf); err != nil {
				return false, err
			}
			buf = buf[:0]
			if j.size-start > j.limit {
				head.Lost = true
				changes = nil
				buf = appendRecord(append(buf, '\n'), head) // counts in place of what there is
				break
			}
		}
	}
	if err := j.put(appendRecord(buf, recordEnd{c.Revision})); err != nil {
		return false, err
	}
	return !head.Lost, nil
}

// journalChunk is how many octets are gathered before they are written.
const journalChunk = 256 << 10

func (j *journal) put(octets []byte) error {
	n, err := j.file.Write(octets)
	j.size += int64(n)
	if err == nil && n < len(octets) {
		err = io.ErrShortWrite
	}
	return err
}

// appendBefore appends the line of what an entry was.
func appendBefore(dst []byte, texts *schema.Texts, c schema.Change, sc *schema.Schema) []byte {
	return appendLine(dst, func(dst []byte) []byte {
		dst = append(dst, `{"path":`...)
		dst = appendQuoted(dst, texts.Append(make([]byte, 0, 256), c.Key))
		if c.Old != nil {
			dst = append(dst, `,"value":`...)
			dst = append(dst, sc.EncodeEntry(nil, c.Key, c.Old)...)
		}
		return append(dst, '}')
	})
}

// open makes sure that there is a file to append to which is not too large.
func (j *journal) open() error {
	if j.file != nil && j.size >= j.limit {
		j.close()
		if err := j.fs.Rename(journalName, journalName+olderSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if j.file != nil {
		return nil
	}
	f, err := j.fs.OpenFile(journalName, os.O_CREATE|os.O_WRONLY|os.O_APPEND)
	if err != nil {
		return err
	}
	j.file, j.size = f, 0
	if st, ok := f.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := st.Stat(); err == nil {
			j.size = info.Size()
		}
	}
	return nil
}

func (j *journal) close() {
	if j.file == nil {
		return
	}
	_ = j.file.Close() // what is missing is a gap when it is read
	j.file = nil
}

// record is one of the journal, as far as it is wanted.
type record struct {
	recordHead
	before []entryBefore
}

// read calls fn for the whole records of the journal, the oldest first; entries
// tells of which revisions it also wants what was before. Of one that fn has seen
// another one may come, which counts in its place, and in that of all later ones.
func (j *journal) read(entries func(revision uint64) bool, fn func(record)) error {
	for _, name := range []string{journalName + olderSuffix, journalName} {
		f, err := j.fs.OpenFile(name, os.O_RDONLY)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = readRecords(f, entries, fn)
			_ = f.Close()
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", name, err)
		}
	}
	return nil
}

// readRecords reads one file. What is damaged is left out, as is a record around it.
func readRecords(r io.Reader, entries func(uint64) bool, fn func(record)) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var rec record
	open, n, want := false, 0, false
	var line []byte
	for {
		var err error
		if line, err = readLine(in, line[:0]); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		body, _, ok := splitLine(line)
		switch {
		case !ok:
			open = open && len(bytes.TrimSpace(line)) == 0
		case bytes.HasPrefix(body, []byte(`{"record":`)):
			rec, n = record{}, 0
			open = json.Unmarshal(body, &rec.recordHead) == nil
			want = open && !rec.Lost && entries(rec.Revision)
		case bytes.HasPrefix(body, []byte(`{"end":`)):
			if open && (rec.Lost || n == rec.Entries) {
				fn(rec)
			}
			open = false
		case open:
			n++
			if !want {
				continue
			}
			var e entryBefore
			open = json.Unmarshal(bytes.Clone(body), &e) == nil
			rec.before = append(rec.before, e)
		}
	}
}

// maxLine bounds what damage can make of a line.
const maxLine = 16 << 20

// readLine reads a line with its end; a last one without is left out.
func readLine(in *bufio.Reader, line []byte) ([]byte, error) {
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			return nil, errors.New("a line is too long")
		}
	}
}
