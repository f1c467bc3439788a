package datastore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"heddle/schema"
)

// The log is text: a header line, then for every commit a group of lines, each
//
//	crc32c, as 8 hexadecimal digits, of the JSON that follows, a space, the JSON
//
// A group is a begin line, one line for each changed entry, and a commit line.
// Lines are short of nothing that is needed to read them alone, for people too.

// formatVersion is that of startup.json and startup.log. Files of a newer
// version are refused, of an older one read.
const formatVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logHeader is the first line of the log.
type logHeader struct {
	Format     int    `json:"heddle-log"`
	Generation uint64 `json:"generation"`
	Revision   uint64 `json:"revision"` // of the startup.json that the log continues
}

// beginLine announces a commit before the kernel is touched.
type beginLine struct {
	Revision uint64    `json:"begin"`
	Time     time.Time `json:"time"`
	User     string    `json:"user,omitzero"`
	Source   string    `json:"source,omitzero"`
}

// entryLine is the new content of one entry.
type entryLine struct {
	Path   string         `json:"path"`
	Value  jsontext.Value `json:"value,omitzero"` // as schema.EncodeEntry writes it
	Delete bool           `json:"delete,omitzero"`
}

// commitLine makes the group count.
type commitLine struct {
	Revision uint64 `json:"commit"`
	Entries  int    `json:"entries"`
}

// logGroup is one whole commit read from the log.
type logGroup struct {
	beginLine
	entries []loggedEntry
}

type loggedEntry struct {
	entryLine
	line int // in the file, from 1
}

// logContent is what a log file holds.
type logContent struct {
	header logHeader
	groups []logGroup
	// whole is the size of the file up to the end of the last whole group; what
	// follows is a commit that was not finished.
	whole int64
	// unfinished is the revision of that commit, 0 if nothing follows.
	unfinished uint64
}

// lastRevision is the revision after the last whole group.
func (l *logContent) lastRevision() uint64 {
	return l.header.Revision + uint64(len(l.groups))
}

// fileError is trouble at a place of a file.
type fileError struct {
	line, column int
	path         string
	reason       string
	err          error
}

func (e *fileError) Error() string {
	return fmt.Sprintf("line %d column %d: %s", e.line, e.column, e.reason)
}

func (e *fileError) Unwrap() error { return e.err }

// appendLine appends a log line with body as its JSON.
func appendLine(dst []byte, body func([]byte) []byte) []byte {
	start := len(dst)
	dst = append(dst, "00000000 "...)
	dst = body(dst)
	sum := crc32.Checksum(dst[start+9:], castagnoli)
	hex.Encode(dst[start:], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
	return append(dst, '\n')
}

// appendRecord appends one of the small records. They are structs of plain
// values, which always encode.
func appendRecord(dst []byte, record any) []byte {
	return appendLine(dst, func(dst []byte) []byte {
		text, err := json.Marshal(record, jsontext.AllowInvalidUTF8(true))
		if err != nil {
			panic("encode log record: " + err.Error())
		}
		return append(dst, text...)
	})
}

// appendChange appends the line of one changed entry.
func appendChange(dst []byte, sc *schema.Schema, c schema.Change) []byte {
	return appendLine(dst, func(dst []byte) []byte {
		dst = append(dst, `{"path":`...)
		dst = appendQuoted(dst, sc.Text(c.Key))
		if c.New == nil {
			return append(dst, `,"delete":true}`...)
		}
		dst = append(dst, `,"value":`...)
		dst = append(dst, sc.EncodeEntry(nil, c.Key, c.New)...)
		return append(dst, '}')
	})
}

func appendQuoted[text string | []byte](dst []byte, s text) []byte {
	// The error is about invalid UTF-8, which was replaced.
	dst, _ = jsontext.AppendQuote(dst, s)
	return dst
}

// splitLine cuts one line off data and checks it. ok is false if the line is
// not whole or not as it was written.
func splitLine(data []byte) (body, rest []byte, ok bool) {
	end := bytes.IndexByte(data, '\n')
	if end < 0 {
		return nil, nil, false
	}
	line, rest := data[:end], data[end+1:]
	if len(line) < 9 || line[8] != ' ' {
		return nil, rest, false
	}
	var sum [4]byte
	if _, err := hex.Decode(sum[:], line[:8]); err != nil {
		return nil, rest, false
	}
	want := uint32(sum[0])<<24 | uint32(sum[1])<<16 | uint32(sum[2])<<8 | uint32(sum[3])
	body = line[9:]
	return body, rest, crc32.Checksum(body, castagnoli) == want
}

// readLogHeader reads the first line only.
func readLogHeader(data []byte) (logHeader, error) {
	var h logHeader
	body, _, ok := splitLine(data)
	if !ok {
		return h, &fileError{line: 1, column: 1, reason: "the header of the log is damaged"}
	}
	if err := json.Unmarshal(body, &h); err != nil || h.Format < 1 {
		return h, &fileError{line: 1, column: 10, reason: "this is not a log of heddle", err: err}
	}
	if h.Format > formatVersion {
		return h, newerFormat(h.Format, 1)
	}
	return h, nil
}

// readLog takes a log file apart. A last group that is not whole is the trace
// of a crash and no error; damage anywhere before it is. Errors are *fileError.
func readLog(data []byte) (*logContent, error) {
	h, err := readLogHeader(data)
	if err != nil {
		return nil, err
	}
	l := &logContent{header: h}
	_, rest, _ := splitLine(data)
	l.whole = int64(len(data) - len(rest))
	for line := 2; len(rest) > 0; {
		g, after, n, err := readGroup(rest, line, l.lastRevision()+1)
		if errors.Is(err, errTorn) {
			l.unfinished = l.lastRevision() + 1
			return l, checkTail(rest, line, l.unfinished)
		}
		if err != nil {
			return nil, err
		}
		rest = after
		line += n
		l.groups = append(l.groups, g)
		l.whole = int64(len(data) - len(rest))
	}
	return l, nil
}

func newerFormat(version, line int) *fileError {
	return &fileError{line: line, column: 1, reason: fmt.Sprintf(
		"the file has format version %d, this release reads up to %d; start the release that wrote it", version, formatVersion)}
}

// errTorn says that a group is not whole.
var errTorn = errors.New("commit is not whole")

// readGroup reads one group, whose first line has the given number in the file
// and which should be of the given revision, and says how many lines it took.
func readGroup(data []byte, line int, revision uint64) (g logGroup, rest []byte, lines int, err error) {
	wrong := func(column int, reason string, err error) (logGroup, []byte, int, error) {
		return logGroup{}, nil, 0, &fileError{line: line + lines, column: column, reason: reason, err: err}
	}
	rest = data
	for ; ; lines++ {
		body, after, ok := splitLine(rest)
		if !ok {
			return logGroup{}, nil, 0, errTorn
		}
		rest = after
		switch {
		case lines == 0:
			if err := json.Unmarshal(body, &g.beginLine); err != nil {
				return wrong(10, "the beginning of a commit is expected here", err)
			}
			if g.Revision != revision {
				return wrong(10, fmt.Sprintf("commit %d follows commit %d", g.Revision, revision-1), nil)
			}
		case bytes.HasPrefix(body, []byte(`{"commit":`)):
			var c commitLine
			if err := json.Unmarshal(body, &c); err != nil {
				return wrong(10, "the end of a commit cannot be read", err)
			}
			if c.Revision != revision || c.Entries != len(g.entries) {
				return wrong(10, fmt.Sprintf("the end of commit %d with %d entries closes commit %d with %d",
					c.Revision, c.Entries, revision, len(g.entries)), nil)
			}
			return g, rest, lines + 1, nil
		default:
			e := loggedEntry{line: line + lines}
			if err := json.Unmarshal(body, &e.entryLine); err != nil {
				return wrong(10, "the record of an entry cannot be read", err)
			}
			g.entries = append(g.entries, e)
		}
		if len(rest) == 0 {
			return logGroup{}, nil, 0, errTorn
		}
	}
}

// checkTail tells a torn tail from damage. Every group is on stable storage
// before the next one begins, so of a group that was not finished nothing can
// follow: if the end of a later commit does, what is broken was once whole.
func checkTail(tail []byte, line int, unfinished uint64) error {
	broken := 0
	for n := line; len(tail) > 0; n++ {
		body, rest, ok := splitLine(tail)
		if !ok && broken == 0 {
			broken = n
		}
		if rest == nil {
			break
		}
		tail = rest
		var c commitLine
		if ok && broken != 0 && json.Unmarshal(body, &c) == nil && c.Revision > unfinished {
			return &fileError{line: broken, column: 1, reason: fmt.Sprintf(
				"the record is damaged, and commit %d follows it; the log is needed whole", c.Revision)}
		}
	}
	return nil
}
