package datastore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"heddle/schema"
)

// StartResult says what Start found and made running.
type StartResult struct {
	Revision uint64
	Time     time.Time // of the commit that made it
	Entries  int
	// Unfinished is the revision of a commit that was begun and not finished
	// when the agent was last ended; it is no part of the configuration, and the
	// kernel was put back from it. 0: there is none.
	Unfinished uint64
	// Edited is set if people changed startup.json.
	Edited bool
}

// Start loads the persisted configuration, has the Applier make it run as far as
// the kernel lets it, and publishes it. Without files the configuration is empty; the Applier is called
// all the same, to remove what an earlier configuration left.
//
// A *StartupError says why the configuration does not run. Files and kernel are
// then untouched, the running configuration is empty, the store takes only
// commits that begin with a replace or delete of the root, and Start may be
// called again. Such a commit keeps the refused files with the suffix
// ".rejected".
func (s *Store) Start(ctx context.Context) (StartResult, error) {
	if err := s.acquire(ctx); err != nil {
		return StartResult{}, fmt.Errorf("start datastore: %w", err)
	}
	defer s.release()
	switch s.Status().Phase {
	case Closed:
		return StartResult{}, fmt.Errorf("start datastore: %w", ErrClosed)
	case Running:
		return StartResult{}, errors.New("start datastore: it is running already")
	}
	s.recoverLock()
	l, serr := s.load()
	if serr == nil {
		if err := s.applier.Start(ctx, emptySnapshot(), l.config, l.changes); err != nil {
			serr = &StartupError{File: startupName, Reason: err.Error(), Err: &ApplyError{Err: err}}
		}
	}
	if serr != nil {
		s.unloaded(l, serr)
		return StartResult{}, serr
	}
	s.disk.adopt(l)
	s.tellRecovery(l)
	s.recoverConfirm(l.config)
	if l.edited() || l.orphan {
		// What commits before have changed says nothing of what is there now.
		s.disk.journal.begin(Commit{Revision: l.config.revision, Time: s.now().Round(0).UTC(), Source: "startup", Request: startupName + " was edited"}, nil, true, 1)
	}
	s.status.Store(&Status{Phase: Running})
	c := Commit{Revision: l.config.revision, Time: l.config.time, Source: "startup", Entries: len(l.changes)}
	s.publish(Event{Commit: c, Changes: l.changes, Snapshot: l.config})
	return StartResult{
		Revision:   c.Revision,
		Time:       c.Time,
		Entries:    l.config.Len(),
		Unfinished: l.unfinished,
		Edited:     l.edited(),
	}, nil
}

// unloaded puts the store into the phase of that name.
func (s *Store) unloaded(l *loaded, serr *StartupError) {
	serr.File = filepath.Join(s.dir, serr.File)
	if p := s.findPrevious(l); p != nil {
		p.Name = filepath.Join(s.dir, p.Name)
		serr.Previous = p
	}
	d := s.disk
	// Numbers go on from the highest that any file shows.
	d.generation, d.exists, d.rejected = l.generation, false, true
	empty := emptySnapshot()
	empty.revision = l.revision
	// Published too: what Snapshot returns is always what watchers were told last.
	e := Event{Commit: Commit{Revision: empty.revision, Time: s.now().Round(0), Source: "startup"}, Snapshot: empty}
	s.feed.PublishAs(e, e, func() { s.current.Store(empty) })
	s.status.Store(&Status{Phase: Unloaded, Startup: serr})
}

func (s *Store) tellRecovery(l *loaded) {
	if l.edited() {
		s.log.Info("startup configuration was edited by hand", "file", startupName, "revision", l.config.revision)
	}
	switch {
	case l.unfinished > l.config.revision:
		s.log.Warn(fmt.Sprintf("recovered: revision %d, commit %d was not finished", l.config.revision, l.unfinished))
	case l.interrupted:
		s.log.Warn(fmt.Sprintf("recovered: revision %d, commit %d was finished and may not have been answered",
			l.config.revision, l.config.revision))
	}
}

// loaded is what the files hold.
type loaded struct {
	startup *startupContent // nil: no file
	size    int64           // of startup.json
	log     *logContent     // the log that continues it, nil without
	logFile string          // its name
	config  *Snapshot
	changes []schema.Change

	unfinished  uint64 // see StartResult
	interrupted bool   // startup.json was renamed and its log not yet
	// orphan is set if startup.log belongs to another startup.json and holds
	// commits that are in none.
	orphan bool

	// generation and revision are the highest seen, also if loading failed.
	generation, revision uint64
}

func (l *loaded) edited() bool { return l.startup != nil && l.startup.edited }

func (l *loaded) saw(generation, revision uint64) {
	l.generation = max(l.generation, generation)
	l.revision = max(l.revision, revision)
}

// load reads and checks the files, and changes nothing. The loaded it returns
// is never nil.
func (s *Store) load() (*loaded, *StartupError) {
	l := &loaded{}
	l.saw(readGeneration(s.disk.fs, startupName+prevSuffix), 0)
	logData, logErr := readOptional(s.disk.fs, logName)
	head, headErr := readLogHeader(logData)
	if headErr == nil {
		l.saw(head.Generation, head.Revision)
	}
	data, err := readOptional(s.disk.fs, startupName)
	if err != nil {
		return l, &StartupError{File: startupName, Reason: err.Error(), Err: err}
	}
	if data != nil {
		if l.startup, err = readStartup(data); err != nil {
			return l, startupError(startupName, err)
		}
		l.size = int64(len(data))
		l.saw(l.startup.header.Generation, l.startup.header.Revision)
	}
	if logErr != nil {
		return l, &StartupError{File: logName, Reason: logErr.Error(), Err: logErr}
	}
	if data == nil && headErr == nil && head.Generation > 0 {
		return l, &StartupError{File: startupName,
			Reason: fmt.Sprintf("it is missing, and %s continues generation %d of it: put it back, or remove %s too to start from nothing", logName, head.Generation, logName)}
	}
	if serr := s.pickLog(l, logData, head, headErr); serr != nil {
		return l, serr
	}
	return l, s.build(l)
}

// pickLog finds the log that continues startup.json: the one in place or, if
// somebody put the previous startup.json back, the previous one.
func (s *Store) pickLog(l *loaded, data []byte, head logHeader, headErr error) *StartupError {
	var generation uint64
	if l.startup != nil {
		generation = l.startup.header.Generation
	}
	if data != nil && (headErr != nil || head.Generation == generation) {
		var err error
		if l.log, err = readLog(data); err != nil {
			return startupError(logName, err)
		}
		l.logFile = logName
		l.unfinished = l.log.unfinished
		l.saw(0, l.log.lastRevision())
		return nil
	}
	if data != nil {
		s.lookAtOtherLog(l, data, generation)
	}
	prev, err := readOptional(s.disk.fs, logName+prevSuffix)
	if h, herr := readLogHeader(prev); err == nil && herr == nil && h.Generation == generation && generation != 0 {
		if l.log, err = readLog(prev); err != nil {
			return startupError(logName+prevSuffix, err)
		}
		l.logFile = logName + prevSuffix
		l.saw(0, l.log.lastRevision())
	}
	return nil
}

// lookAtOtherLog finds out how startup.log came to belong to another
// startup.json.
func (s *Store) lookAtOtherLog(l *loaded, data []byte, generation uint64) {
	other, err := readLog(data)
	if err != nil {
		l.orphan = true
		return
	}
	l.saw(0, other.lastRevision())
	var revision uint64
	if l.startup != nil {
		revision = l.startup.header.Revision
	}
	// A crash between the two renames leaves the log of the generation before,
	// which leads up to startup.json or announces it.
	if other.header.Generation+1 == generation && other.lastRevision() <= revision {
		l.interrupted = other.unfinished == revision
		return
	}
	l.orphan = len(other.groups) > 0
}

// build makes the configuration and checks all of it.
func (s *Store) build(l *loaded) *StartupError {
	if l.edited() && l.log != nil && len(l.log.groups) > 0 {
		return &StartupError{File: startupName, Reason: fmt.Sprintf(
			"the file was edited while %s holds %d later commits; remove %s to start from the edited file, or undo the edit",
			l.logFile, len(l.log.groups), l.logFile)}
	}
	b := emptySnapshot().builder(s.schema, s.terms)
	if l.startup != nil {
		changes, err := s.schema.Apply(b.next, []schema.Edit{{
			Op: schema.Replace, JSON: l.startup.config, Encoding: schema.JSONIETF,
		}})
		if err != nil {
			return s.invalid(l, nil, Mistakes(err))
		}
		b.apply(changes)
		l.changes = changes
		b.next.revision, b.next.time = l.startup.header.Revision, l.startup.header.Time
	}
	lines, serr := s.replay(l, b)
	if serr != nil {
		return serr
	}
	l.config = b.next
	if len(lines) > 0 {
		l.changes = make([]schema.Change, 0, l.config.Len())
		l.config.Scan("", func(k schema.EntryKey, e schema.GoStruct) bool {
			l.changes = append(l.changes, schema.Change{Key: k, New: e})
			return true
		})
	}
	l.changes = s.completed(b, l.changes)
	var invalid *ValidationError
	if err := s.validate(emptySnapshot(), l.config, l.changes); errors.As(err, &invalid) {
		return s.invalid(l, lines, invalid)
	}
	return nil
}

// replay applies the log. Of an entry that several commits changed only the last
// state is decoded. It returns the lines in which entries got their state.
func (s *Store) replay(l *loaded, b *builder) (map[schema.EntryKey]int, *StartupError) {
	if l.log == nil || len(l.log.groups) == 0 {
		return nil, nil
	}
	var entries []loggedEntry
	last := map[string]int{} // path to line
	for _, g := range l.log.groups {
		for _, e := range g.entries {
			last[e.Path] = e.line
		}
		entries = append(entries, g.entries...)
		b.next.revision, b.next.time = g.Revision, g.Time
	}
	lines := make(map[schema.EntryKey]int, len(last))
	changes := make([]schema.Change, 0, len(last))
	for _, e := range entries {
		if last[e.Path] != e.line {
			continue
		}
		wrong := func(err error) *StartupError {
			c := causesOf(err)[0]
			if c.Path == "" {
				c.Path = e.Path
			}
			return &StartupError{
				File: l.logFile, Line: e.line, Column: 10, Path: c.Path,
				Reason: (&Cause{Value: c.Value, Reason: c.Reason}).Error(), Err: err,
			}
		}
		path, err := s.schema.ParsePath(e.Path)
		if err != nil {
			return nil, wrong(err)
		}
		c := schema.Change{Key: path.Entry()}
		c.Old, _ = b.next.Get(c.Key)
		if !e.Delete {
			if c.New, err = s.schema.DecodeEntry(c.Key, e.Value); err != nil {
				return nil, wrong(err)
			}
		}
		lines[c.Key] = e.line
		changes = append(changes, c)
	}
	b.apply(changes)
	return lines, nil
}

// invalid makes a StartupError of what is wrong with the configuration, with
// the place of the first cause.
func (s *Store) invalid(l *loaded, lines map[schema.EntryKey]int, v *ValidationError) *StartupError {
	c := v.Causes[0]
	e := &StartupError{
		File:   startupName,
		Path:   c.Path,
		Reason: (&Cause{Value: c.Value, Reason: c.Reason, Remedy: c.Remedy}).Error(),
		Err:    v,
	}
	if more := len(v.Causes) - 1 + v.More; more > 0 {
		e.Reason += fmt.Sprintf(" (and %d more)", more)
	}
	if path, err := s.schema.ParsePath(c.Path); err == nil {
		if line, ok := lines[path.Entry()]; ok {
			e.File, e.Line, e.Column = l.logFile, line, 10
			return e
		}
	}
	if f := l.startup; f != nil {
		at := f.offset + locate(f.config, c.Path)
		e.Line, e.Column = place(f.file, at)
	}
	return e
}

// startupError gives a *fileError its file.
func startupError(name string, err error) *StartupError {
	e := &StartupError{File: name, Reason: err.Error(), Err: err}
	var at *fileError
	if errors.As(err, &at) {
		e.Line, e.Column, e.Path, e.Reason = at.line, at.column, at.path, at.reason
	}
	return e
}

// readOptional reads a file; one that is not there is nil.
func readOptional(fsys FS, name string) ([]byte, error) {
	data, err := readFile(fsys, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// readGeneration is the generation of a startup file, without reading more of it
// than its beginning; 0 if that does not tell.
func readGeneration(fsys FS, name string) uint64 {
	f, err := fsys.OpenFile(name, os.O_RDONLY)
	if err != nil {
		return 0
	}
	defer f.Close()
	dec := jsontext.NewDecoder(io.LimitReader(f, 1<<16))
	for _, want := range []string{"{", memberHeader} {
		if tok, err := dec.ReadToken(); err != nil || tok.String() != want {
			return 0
		}
	}
	var h startupHeader
	if value, err := dec.ReadValue(); err != nil || json.Unmarshal(value, &h) != nil {
		return 0
	}
	return h.Generation
}

// findPrevious describes the previous files, if they are whole.
func (s *Store) findPrevious(l *loaded) *PreviousFile {
	name := startupName + prevSuffix
	data, err := readOptional(s.disk.fs, name)
	if err != nil || data == nil {
		return nil
	}
	f, err := readStartup(data)
	if err != nil || f.edited {
		return nil
	}
	p := &PreviousFile{Name: name, Revision: f.header.Revision, Time: f.header.Time.Format(time.RFC3339)}
	if log, err := readOptional(s.disk.fs, logName+prevSuffix); err == nil && log != nil {
		if c, err := readLog(log); err == nil && c.header.Generation == f.header.Generation && len(c.groups) > 0 {
			p.Revision = c.lastRevision()
			p.Time = c.groups[len(c.groups)-1].Time.Format(time.RFC3339)
		}
	}
	l.saw(f.header.Generation, p.Revision)
	return p
}

// adopt takes over the files that were loaded. What fails makes the next commit
// write new ones.
func (d *disk) adopt(l *loaded) {
	d.rejected, d.exists = false, l.startup != nil
	d.generation, d.startupSize = l.generation, l.size
	d.rewrite = l.edited() || !d.exists
	for _, name := range []string{startupName + tmpSuffix, logName + tmpSuffix} {
		if err := removeIfThere(d.fs, name); err != nil {
			d.notes.Warn("leftover file stays", "file", name, "error", err)
		}
	}
	if l.orphan {
		d.notes.Warn("commits in the log belong to another startup configuration and are left out",
			"file", logName, "kept", logName+unusedSuffix)
		if err := d.fs.Rename(logName, logName+unusedSuffix); err != nil {
			d.notes.Warn("log that is not used cannot be renamed", "file", logName, "error", err)
		}
	}
	if l.log == nil {
		return
	}
	d.logEmpty = len(l.log.groups) == 0
	if l.startup != nil && l.generation != l.startup.header.Generation || l.logFile != logName {
		// Put back by hand: a new generation makes it plain again.
		d.rewrite = true
		return
	}
	f, err := d.fs.OpenFile(logName, os.O_WRONLY|os.O_APPEND)
	if err == nil {
		d.log = f
		if d.cutLog(l.log.whole) && l.log.unfinished != 0 {
			err = f.Sync()
		}
	}
	if err != nil || d.log == nil {
		d.notes.Warn("log cannot be continued, the next commit writes a new startup configuration", "file", logName, "error", err)
		d.giveUpLog()
	}
}
