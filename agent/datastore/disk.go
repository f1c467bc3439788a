package datastore

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"heddle/schema"
)

// Names in the state directory.
const (
	startupName = "startup.json"
	logName     = "startup.log"

	tmpSuffix      = ".tmp"      // being prepared; a leftover means nothing
	prevSuffix     = ".prev"     // the pair before the last rewrite
	rejectedSuffix = ".rejected" // the pair that Start refused and a commit replaced
	unusedSuffix   = ".unused"   // a log that belongs to another startup.json
)

const (
	// logFloor is the size in octets that the log may reach however small
	// startup.json is. Above it, an eighth of startup.json: a rewrite is then
	// paid for by what was logged before, whatever the size of the configuration,
	// and reading the log at start takes less time than reading startup.json.
	logFloor = 1 << 20
	// largeChange is the number of changed entries from which a commit is
	// rather written as a new startup.json, if that is at most twice as much.
	largeChange = 512
)

// disk keeps the files. It is the writer's, and needs no lock of its own.
type disk struct {
	fs     FS
	schema *schema.Schema
	notes  *slog.Logger

	generation  uint64 // of startup.json; a new file takes the next
	exists      bool   // startup.json is there
	startupSize int64
	log         File // open at its end, nil if there is none to append to
	logSize     int64
	logEmpty    bool // holds a header only
	// rewrite is set when the log cannot be relied on: the next commit writes a
	// new startup.json, which makes the log meaningless.
	rewrite bool
	// rejected is set while startup.json is one that Start refused.
	rejected bool
	buf      []byte

	journal   *journal
	journaled func() // waits for the record that is being written; nil: none is

	// logFloor and largeChange are the constants, except in tests.
	logFloor    int64
	largeChange int
}

// pending is a commit on its way to the disk: begun, neither finished nor
// given up.
type pending interface {
	// finish makes the commit durable. If it fails the files are as before,
	// unless the error, a *PersistError, says they are uncertain.
	finish() *PersistError
	// abort forgets the commit.
	abort()
}

// begin does what can be done before the kernel has taken the commit: it
// announces it and prepares its records. An error leaves everything as it was.
func (d *disk) begin(next *Snapshot, changes []schema.Change, c Commit) (pending, error) {
	head := beginLine{Revision: c.Revision, Time: c.Time, User: c.User, Source: c.Source}
	if d.rewrite || !d.exists || d.rejected {
		return d.beginRewrite(next, head, 0), nil
	}
	if err := d.openLog(c.Revision - 1); err != nil {
		return nil, err
	}
	mark := d.logSize
	large := len(changes) >= d.largeChange && len(changes)*2 >= next.Len()
	d.buf = appendRecord(d.buf[:0], head)
	if !large {
		for _, change := range changes {
			d.buf = appendChange(d.buf, d.schema, change)
		}
		large = mark+int64(len(d.buf)) > max(d.logFloor, d.startupSize/8)
	}
	if large {
		d.buf = appendRecord(d.buf[:0], head)
	}
	if err := writeAll(d.log, d.buf); err != nil {
		d.cutLog(mark)
		return nil, fmt.Errorf("write %s: %w", logName, err)
	}
	d.logSize += int64(len(d.buf))
	d.trimBuffer()
	if large {
		return d.beginRewrite(next, head, mark), nil
	}
	return &appending{disk: d, mark: mark, revision: c.Revision, entries: len(changes)}, nil
}

// journalDone waits for the record of the commit at hand.
func (d *disk) journalDone() {
	if d.journaled != nil {
		d.journaled()
		d.journaled = nil
	}
}

// trimBuffer does not let one large commit keep its memory for ever.
func (d *disk) trimBuffer() {
	if cap(d.buf) > logFloor {
		d.buf = nil
	}
}

// cutLog takes the log back to a size. Where that fails the log is given up.
func (d *disk) cutLog(size int64) bool {
	if d.log == nil {
		return true
	}
	if err := d.log.Truncate(size); err != nil {
		d.giveUpLog()
		return false
	}
	d.logSize = size
	return true
}

func (d *disk) giveUpLog() {
	d.rewrite = true
	if d.log != nil {
		// Nothing that was acknowledged depends on it.
		_ = d.log.Close()
		d.log = nil
	}
}

// appending is a commit that goes to the log.
type appending struct {
	disk     *disk
	mark     int64 // size of the log before
	revision uint64
	entries  int
}

func (a *appending) abort() { a.disk.cutLog(a.mark) }

func (a *appending) finish() *PersistError {
	d := a.disk
	line := appendRecord(nil, commitLine{Revision: a.revision, Entries: a.entries})
	if err := writeAll(d.log, line); err != nil {
		// The group is not whole, so it does not count whatever happens now.
		d.cutLog(a.mark)
		return &PersistError{Err: fmt.Errorf("write %s: %w", logName, err)}
	}
	err := d.log.Sync()
	if err == nil {
		d.logSize += int64(len(line))
		d.logEmpty = false
		return nil
	}
	// After a failed sync the kernel may have dropped what it could not write
	// and report success the next time: this file is not used again. The group
	// may be whole on the disk, and has to go.
	e := &PersistError{Err: fmt.Errorf("sync %s: %w", logName, err)}
	if d.cutLog(a.mark) {
		e.Uncertain = d.log.Sync() != nil
	} else {
		e.Uncertain = true
	}
	d.giveUpLog()
	return e
}

// rewriting is a commit that goes to a new startup.json.
type rewriting struct {
	disk     *disk
	mark     int64 // size of the log before the announcement, 0 without one
	revision uint64
	suffix   string // under which the files in place are kept
	size     int64
	log      File // the log to come
	done     chan error
}

// beginRewrite starts to write the new files beside the old ones. mark is the
// size of the log before the commit was announced in it, 0 if it was not.
func (d *disk) beginRewrite(next *Snapshot, head beginLine, mark int64) *rewriting {
	r := &rewriting{disk: d, mark: mark, revision: head.Revision, suffix: prevSuffix, done: make(chan error, 1)}
	if d.rejected {
		r.suffix = rejectedSuffix
	}
	h := startupHeader{
		Format:     formatVersion,
		Revision:   head.Revision,
		Generation: d.generation + 1,
		Time:       head.Time,
		User:       head.User,
		Source:     head.Source,
	}
	go func() { r.done <- r.prepare(h, next) }()
	return r
}

func (r *rewriting) prepare(h startupHeader, next *Snapshot) error {
	d := r.disk
	f, err := d.fs.OpenFile(startupName+tmpSuffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("create %s: %w", startupName+tmpSuffix, err)
	}
	r.size, err = writeStartup(f, d.schema, h, next)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", startupName+tmpSuffix, err)
	}
	r.log, err = d.createLog(logHeader{Format: formatVersion, Generation: h.Generation, Revision: h.Revision})
	return err
}

// createLog makes a log with its header under its temporary name.
func (d *disk) createLog(h logHeader) (File, error) {
	name := logName + tmpSuffix
	f, err := d.fs.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND)
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", name, err)
	}
	if err = writeAll(f, appendRecord(nil, h)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("write %s: %w", name, err)
	}
	return f, nil
}

func (r *rewriting) abort() {
	// Whether the preparation went well no longer matters.
	<-r.done
	r.discard()
	if r.mark > 0 {
		r.disk.cutLog(r.mark)
	}
}

// discard removes the temporary files. One that stays is overwritten next time.
func (r *rewriting) discard() {
	d := r.disk
	if r.log != nil {
		_ = r.log.Close()
	}
	for _, name := range []string{startupName, logName} {
		if err := removeIfThere(d.fs, name+tmpSuffix); err != nil {
			d.notes.Warn("leftover file stays", "file", name+tmpSuffix, "error", err)
		}
	}
}

func (r *rewriting) finish() *PersistError {
	d := r.disk
	fail := func(e *PersistError) *PersistError {
		r.discard()
		if r.mark > 0 {
			d.cutLog(r.mark)
		}
		return e
	}
	if err := <-r.done; err != nil {
		return fail(&PersistError{Err: err})
	}
	kept, err := r.keepOld()
	if err != nil {
		return fail(&PersistError{Err: err})
	}
	if err := d.fs.Rename(startupName+tmpSuffix, startupName); err != nil {
		return fail(&PersistError{Err: fmt.Errorf("rename %s: %w", startupName+tmpSuffix, err)})
	}
	if err := syncDir(d.fs); err != nil {
		e := &PersistError{Err: fmt.Errorf("sync state directory: %w", err)}
		e.Uncertain = r.takeBack(kept) != nil
		return fail(e)
	}
	d.generation++
	d.exists, d.rejected, d.rewrite = true, false, false
	d.startupSize = r.size
	r.switchLog()
	return nil
}

// keepOld gives startup.json its second name, and returns it.
func (r *rewriting) keepOld() (kept string, err error) {
	d := r.disk
	if !d.exists && !d.rejected {
		return "", nil
	}
	kept = startupName + r.suffix
	err = removeIfThere(d.fs, kept)
	if err == nil {
		err = d.fs.Link(startupName, kept)
	}
	switch {
	case err == nil:
		return kept, nil
	case d.rejected && errors.Is(err, fs.ErrNotExist):
		// What was refused is the log alone.
		return "", nil
	case d.rejected:
		// Somebody may still want to repair it.
		return "", fmt.Errorf("keep %s as %s: %w", startupName, kept, err)
	}
	// Not every file system has links; the commit is worth more than the past.
	d.notes.Warn("previous configuration is not kept", "file", kept, "error", err)
	return "", nil
}

// takeBack undoes the rename of startup.json and makes that durable.
func (r *rewriting) takeBack(kept string) error {
	d := r.disk
	var err error
	switch {
	case kept != "":
		err = d.fs.Rename(kept, startupName)
	case !d.exists:
		err = removeIfThere(d.fs, startupName)
	default:
		err = errors.New("the previous file was not kept")
	}
	if err == nil {
		err = syncDir(d.fs)
	}
	if err != nil {
		d.rewrite = true
	}
	return err
}

// switchLog puts the new log in the place of the old, which by the renaming of
// startup.json has lost its meaning. The commit is durable already: what fails
// here only means that the next one makes its log itself.
func (r *rewriting) switchLog() {
	d := r.disk
	if d.log != nil {
		_ = d.log.Close()
		d.log = nil
	}
	h := logHeader{Format: formatVersion, Generation: d.generation, Revision: r.revision}
	if err := d.installLog(r.log, h, logName+r.suffix); err != nil {
		d.notes.Warn("new log is not in place yet", "file", logName, "error", err)
	}
}

// installLog renames a log made by createLog, keeping the one in place as kept.
func (d *disk) installLog(f File, h logHeader, kept string) error {
	err := removeIfThere(d.fs, kept)
	if err == nil {
		if err = d.fs.Link(logName, kept); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	if err != nil {
		d.notes.Warn("log of the previous configuration is not kept", "file", kept, "error", err)
	}
	if err = d.fs.Rename(logName+tmpSuffix, logName); err == nil {
		err = syncDir(d.fs)
	}
	if err != nil {
		_ = f.Close()
		return err
	}
	d.log, d.logEmpty = f, true
	d.logSize = int64(len(appendRecord(nil, h)))
	return nil
}

// openLog makes sure that there is a log to append to, for a startup.json of
// the given revision.
func (d *disk) openLog(revision uint64) error {
	if d.log != nil {
		return nil
	}
	h := logHeader{Format: formatVersion, Generation: d.generation, Revision: revision}
	f, err := d.createLog(h)
	if err != nil {
		return err
	}
	if err := d.installLog(f, h, logName+prevSuffix); err != nil {
		return fmt.Errorf("put %s in place: %w", logName, err)
	}
	return nil
}

// close brings startup.json up to date, for people to read and edit, and lets go
// of the log. If it fails, nothing is lost: the log has it.
func (d *disk) close(current *Snapshot, last Commit) error {
	var failed *PersistError
	if d.exists && !d.rejected && (d.rewrite || !d.logEmpty) {
		head := beginLine{Revision: current.revision, Time: current.time, User: last.User, Source: last.Source}
		failed = d.beginRewrite(current, head, 0).finish()
	}
	var err error
	if failed != nil {
		err = failed
	}
	if d.log != nil {
		err = errors.Join(err, d.log.Close())
		d.log = nil
	}
	d.journal.close()
	return err
}
