package schema

import (
	"bytes"
	"errors"
	"io"
	"runtime"

	"github.com/go-json-experiment/json/jsontext"
)

// bulkSize is the size in octets, of what is left, from which a payload is read in parts: a large
// array by several decoders at the same time, each from an entry that is guessed
// to begin where the array's first one is found again. A guess is confirmed by
// the decoder before it, which has to come to the end of an entry just there.
// Whatever is unusual, a wrong guess, an error, a key that comes twice, makes the
// whole Apply begin anew with one decoder, whose word counts.
const bulkSize = 1 << 20

// split says how many more decoders may take part in a payload, and from which
// size on.
type split struct{ others, size int }

// errAlone is returned where decoding in parts does not work out.
var errAlone = errors.New("decode with one decoder")

// partReader gives a decoder the payload, without the part that another decoder
// reads.
type partReader struct {
	head  []byte // comes before data
	data  []byte
	at    int // position in data
	moved int // position in data minus what the decoder has been given

	split int // where the other part begins, -1: there is none
}

// readChunk is how much a decoder is given at a time: little, because the rest
// may yet become another's part.
const readChunk = 64 << 10

// Read implements io.Reader.
func (r *partReader) Read(p []byte) (int, error) {
	if len(r.head) > 0 {
		n := copy(p, r.head)
		r.head = r.head[n:]
		return n, nil
	}
	end := len(r.data)
	if r.split >= 0 {
		end = r.split
	}
	if r.at >= end {
		if r.split >= 0 {
			return 0, errAlone // an entry goes on behind the split
		}
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), readChunk)], r.data[r.at:end])
	r.at += n
	return n, nil
}

// skipTo goes on at a position in the data, behind the other part.
func (r *partReader) skipTo(at int) {
	r.moved += at - r.at
	r.at, r.split = at, -1
}

// part is what another decoder does meanwhile.
type part struct {
	txn   *txn
	count int
	end   int // position of the end of the array
	err   error
	done  chan struct{}
}

// sample is how many entries of an array are decoded before it is shared: one of
// few large entries, such as that of the network instances, never is.
const sample = 64

// share hands the second part of an array, of which the first entries have been
// read, to another decoder, nil if that is not worth it.
func (d *decoder) share(f *frame, list *Node) *part {
	r := d.parts
	if r == nil || d.split.others == 0 || r.split >= 0 || len(r.data)-r.at < d.split.size {
		return nil
	}
	at := guess(r.data, int(d.in.InputOffset())+r.moved, r.at+(len(r.data)-r.at)/(d.split.others+1))
	if at < 0 {
		return nil
	}
	r.split = at
	t := d.txn
	p := &part{done: make(chan struct{}), txn: &txn{s: t.s, base: t.base, cleared: t.cleared, number: t.number}}
	other := &p.txn.dec
	other.txn, other.split = p.txn, split{d.split.others - 1, d.split.size}
	rest := r.data[at+1:] // the comma before the entry stays behind
	parent := frame{plan: f.plan, key: f.key, keyed: true}
	go func() {
		defer close(p.done)
		defer other.wait()
		other.read(&partReader{head: []byte{'['}, data: rest, moved: -1, split: -1})
		p.count, p.err = other.entries(&parent, list)
		if p.err == nil && len(other.faults) > 0 {
			p.err = errAlone
		}
		p.end = at + int(other.in.InputOffset()) + other.parts.moved // +1 for the comma, -1 for the bracket
	}()
	d.started = append(d.started, p)
	return p
}

// wait ends when all that share has started has ended.
func (d *decoder) wait() {
	for _, p := range d.started {
		<-p.done
	}
}

// guess finds the comma before an entry behind a position, given the end of one
// before: -1 if there is none that looks like it.
func guess(data []byte, first, from int) int {
	open := bytes.IndexByte(data[first:], '{')
	if open < 0 {
		return -1
	}
	first += open
	name := bytes.IndexByte(data[first:min(len(data), first+256)], '"')
	if name < 0 {
		return -1
	}
	end := bytes.IndexByte(data[first+name+1:min(len(data), first+512)], '"')
	if end < 0 {
		return -1
	}
	// The first member's name may be that of a member further in, too, as a key is
	// also in config: an entry has a comma before it.
	begin := data[first : first+name+end+2]
	for from++; ; {
		i := bytes.Index(data[from:], begin)
		if i < 0 {
			return -1
		}
		comma := bytes.TrimRight(data[from-1:from+i], " \t\r\n")
		if n := len(comma); n > 0 && comma[n-1] == ',' {
			return from + n - 2
		}
		from += i + len(begin)
	}
}

// join takes over what the other decoder has done, at the end of an entry.
func (d *decoder) join(p *part) (count int, err error) {
	<-p.done
	if p.err != nil {
		return 0, errAlone
	}
	t := d.txn
	twice := false
	p.txn.pend.Scan(func(k EntryKey, pd *pending) bool {
		if k > t.highest || t.pend.Len() == 0 {
			t.highest = k
			t.pend.Load(k, pd)
			return true
		}
		_, twice = t.pend.Set(k, pd)
		return !twice
	})
	if twice {
		return 0, errAlone
	}
	t.last, t.above = nil, nil
	d.parts.skipTo(p.end)
	return p.count, nil
}

// read begins to decode what r gives.
func (d *decoder) read(r *partReader) {
	d.parts = r
	d.in = jsontext.NewDecoder(r, jsontext.AllowDuplicateNames(true))
}

// others is how many more decoders may work for one payload.
func others() int { return runtime.GOMAXPROCS(0) - 1 }
