package telemetry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"

	"heddle/kernel/object"
)

// counterFile keeps the bases of SIDs over a restart: one JSON document a line,
// the first of which says to which life of the kernel the rest belongs. Lines are
// appended, so a change costs what it is about. Nothing is forced to the disk:
// with the power, the kernel's counters are gone, too.
type counterFile struct {
	path, scope string

	// lines is how many follow the first; whole is set when what is there cannot
	// be added to.
	lines int
	whole bool
}

const counterFileVersion = 1

// spareLines is how many lines a file may have before it is looked whether most
// of them are out of date.
const spareLines = 1000

type counterHeader struct {
	Version int    `json:"version"`
	Scope   string `json:"scope"`
}

// counterLine is the base of a SID as of now; that of one which is gone is zero.
type counterLine struct {
	SID     netip.Addr `json:"sid"`
	Packets uint64     `json:"packets"`
	Octets  uint64     `json:"octets"`
	Errors  uint64     `json:"errors"`
}

// read returns the bases in the file: none if it is of another life. A last line
// that was not finished is left out; of a file that is damaged otherwise, what
// comes before that is returned with an error.
func (f *counterFile) read() (map[netip.Addr]object.SIDCounters, error) {
	f.whole = true // it is written anew in any case, without what is out of date
	doc, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read bases of SID counters: %w", err)
	}
	lines := bytes.Split(doc, []byte("\n"))
	lines = lines[:len(lines)-1] // empty, or not finished
	if len(lines) == 0 {
		return nil, nil
	}
	var h counterHeader
	if err := json.Unmarshal(lines[0], &h); err != nil {
		return nil, fmt.Errorf("read bases of SID counters: %s: line 1: %w", f.path, err)
	}
	if h.Version != counterFileVersion || h.Scope != f.scope {
		return nil, nil
	}
	bases := map[netip.Addr]object.SIDCounters{}
	for i, line := range lines[1:] {
		var l counterLine
		if err := json.Unmarshal(line, &l); err != nil {
			return bases, fmt.Errorf("read bases of SID counters: %s: line %d: %w", f.path, i+2, err)
		}
		base := object.SIDCounters{Packets: l.Packets, Octets: l.Octets, Errors: l.Errors}
		if base == (object.SIDCounters{}) {
			delete(bases, l.SID)
		} else {
			bases[l.SID] = base
		}
	}
	return bases, nil
}

// write records the bases of some SIDs. all is asked for every base that is not
// zero when the file has to be written as a whole.
func (f *counterFile) write(some, all func(yield func(netip.Addr, object.SIDCounters))) error {
	if err := f.tryWrite(some, all); err != nil {
		f.whole = true // the last line may be half there
		return fmt.Errorf("write bases of SID counters: %w", err)
	}
	return nil
}

func (f *counterFile) tryWrite(some, all func(yield func(netip.Addr, object.SIDCounters))) error {
	if f.whole {
		return f.writeWhole(all)
	}
	doc, n, err := counterLines(nil, some)
	if err != nil || n == 0 {
		return err
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(doc)
	f.lines += n
	return errors.Join(err, file.Close())
}

// writeWhole replaces the file.
func (f *counterFile) writeWhole(all func(yield func(netip.Addr, object.SIDCounters))) error {
	doc, err := json.Marshal(counterHeader{counterFileVersion, f.scope})
	if err != nil {
		return err
	}
	doc, n, err := counterLines(append(doc, '\n'), all)
	if err != nil {
		return err
	}
	next := f.path + ".new"
	if err := os.WriteFile(next, doc, 0o600); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	f.lines, f.whole = n, false
	return nil
}

func counterLines(doc []byte, of func(yield func(netip.Addr, object.SIDCounters))) (_ []byte, n int, err error) {
	of(func(sid netip.Addr, base object.SIDCounters) {
		line, lerr := json.Marshal(counterLine{sid, base.Packets, base.Octets, base.Errors})
		if lerr != nil {
			err = lerr
			return
		}
		doc = append(append(doc, line...), '\n')
		n++
	})
	return doc, n, err
}
