package datastore

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"heddle/schema"
)

// startup.json is one JSON object: a header, the configuration as JSON_IETF, and
// a checksum of the configuration's text. People may edit the configuration; the
// checksum then no longer fits, which is noticed and accepted.

// startupHeader is the member "heddle-startup".
type startupHeader struct {
	Format     int       `json:"format"`
	Revision   uint64    `json:"revision"`
	Generation uint64    `json:"generation"`
	Time       time.Time `json:"time"`
	User       string    `json:"user,omitzero"`
	Source     string    `json:"source,omitzero"`
}

const (
	memberHeader        = "heddle-startup"
	memberConfiguration = "configuration"
	memberChecksum      = "checksum"

	trailerStart = ",\n\"" + memberChecksum + "\": \"crc32c:"
	trailerEnd   = "\"\n}\n"
	trailerSize  = len(trailerStart) + 8 + len(trailerEnd)
)

// writeStartup writes a startup file and returns its size.
func writeStartup(w io.Writer, sc *schema.Schema, h startupHeader, config *Snapshot) (int64, error) {
	counted := &countingWriter{w: w}
	out := bufio.NewWriterSize(counted, indentBuffer)
	head, err := json.Marshal(h, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return 0, fmt.Errorf("encode header: %w", err)
	}
	// What fails here fails again in Flush.
	fmt.Fprintf(out, "{\n%q: %s,\n%q: ", memberHeader, head, memberConfiguration)
	sum := &summingWriter{w: out, sum: crc32.New(castagnoli)}
	body := &indenter{w: sum}
	present, err := sc.EncodeJSON(body, []schema.Tree{config}, nil, schema.EncodeOptions{
		Encoding: schema.JSONIETF,
		Filter:   schema.Config,
	})
	if err == nil && !present {
		_, err = body.Write([]byte("{}"))
	}
	if err == nil {
		err = body.flush()
	}
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(out, "%s%08x%s", trailerStart, sum.sum.Sum32(), trailerEnd)
	err = out.Flush()
	return counted.n, err
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

type summingWriter struct {
	w   io.Writer
	sum hash.Hash32
}

func (s *summingWriter) Write(p []byte) (int, error) {
	s.sum.Write(p)
	return s.w.Write(p)
}

// startupContent is what a startup file holds.
type startupContent struct {
	header startupHeader
	file   []byte // all of the file
	config []byte // the part that is the configuration
	offset int    // of config in file
	// edited is set if the configuration is not what the header was written for.
	edited bool
}

// readStartup takes a startup file apart, without looking into the
// configuration beyond its syntax. Errors are *fileError.
func readStartup(data []byte) (*startupContent, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, &fileError{line: 1, column: 1, reason: "the file is empty"}
	}
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	f := &startupContent{file: data}
	var checksum string
	tok, err := dec.ReadToken()
	if err != nil {
		return nil, syntaxError(data, dec, err)
	}
	if tok.Kind() != '{' {
		return nil, placeError(data, 0, "a JSON object is expected", nil)
	}
	for dec.PeekKind() != '}' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, syntaxError(data, dec, err)
		}
		member, at := name.String(), int(dec.InputOffset())
		if member == memberConfiguration && f.header.Format != 0 && f.trusted(data, at) {
			return f, nil
		}
		value, err := dec.ReadValue()
		if err != nil {
			return nil, syntaxError(data, dec, err)
		}
		end := int(dec.InputOffset())
		at = end - len(value)
		switch member {
		case memberHeader:
			err = f.readHeader(data, at, end)
		case memberConfiguration:
			f.config, f.offset = data[at:end], at
			if value.Kind() != '{' {
				err = placeError(data, at, "the configuration must be a JSON object", nil)
			}
		case memberChecksum:
			if uerr := json.Unmarshal(value, &checksum); uerr != nil {
				err = placeError(data, at, "the checksum must be a string; remove it if the file was edited", uerr)
			}
		default:
			err = placeError(data, at, fmt.Sprintf("unknown member %q; expected are %q, %q and %q",
				member, memberHeader, memberConfiguration, memberChecksum), nil)
		}
		if err != nil {
			return nil, err
		}
	}
	return f, f.finish(data, dec, checksum)
}

// finish reads what follows the last member.
func (f *startupContent) finish(data []byte, dec *jsontext.Decoder, checksum string) error {
	if _, err := dec.ReadToken(); err != nil {
		return syntaxError(data, dec, err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return placeError(data, int(dec.InputOffset()), "nothing may follow the object", err)
	}
	if f.header.Format == 0 {
		return placeError(data, 0, fmt.Sprintf("member %q is missing", memberHeader), nil)
	}
	if f.config == nil {
		return placeError(data, 0, fmt.Sprintf("member %q is missing", memberConfiguration), nil)
	}
	f.edited = checksum != fmt.Sprintf("crc32c:%08x", crc32.Checksum(f.config, castagnoli))
	return nil
}

func (f *startupContent) readHeader(data []byte, at, end int) error {
	if err := json.Unmarshal(data[at:end], &f.header); err != nil {
		return placeError(data, at, "the header cannot be read: "+err.Error(), err)
	}
	line, _ := place(data, at)
	if f.header.Format > formatVersion {
		return newerFormat(f.header.Format, line)
	}
	if f.header.Format < 1 {
		return placeError(data, at, `the header needs "format": 1`, nil)
	}
	return nil
}

// trusted recognises a file that is as it was written, by its last line and
// checksum, which spares a pass over the text. at is the offset behind the name
// of the configuration.
func (f *startupContent) trusted(data []byte, at int) bool {
	start, end := at+len(": "), len(data)-trailerSize
	if start >= end || !bytes.HasPrefix(data[at:], []byte(": ")) {
		return false
	}
	config := data[start:end]
	if string(data[end:]) != fmt.Sprintf("%s%08x%s", trailerStart, crc32.Checksum(config, castagnoli), trailerEnd) {
		return false
	}
	f.config, f.offset = config, start
	return true
}

// place converts an offset to line and column, both from 1.
func place(data []byte, offset int) (line, column int) {
	before := data[:min(max(offset, 0), len(data))]
	return bytes.Count(before, []byte("\n")) + 1, len(before) - bytes.LastIndexByte(before, '\n')
}

func placeError(data []byte, offset int, reason string, err error) *fileError {
	line, column := place(data, offset)
	return &fileError{line: line, column: column, reason: reason, err: err}
}

// syntaxError is an error of the decoder with its place.
func syntaxError(data []byte, dec *jsontext.Decoder, err error) *fileError {
	offset := int(dec.InputOffset())
	reason := err.Error()
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		offset = int(syntactic.ByteOffset)
		reason = syntactic.Err.Error()
		if p := string(syntactic.JSONPointer); p != "" {
			reason += " within " + p
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return placeError(data, len(data), "the file is cut short", err)
	}
	return placeError(data, offset, reason, err)
}

// locate finds where in the text of a configuration the node with the given
// path stands, or as much of the path as is there.
func locate(config []byte, path string) (offset int) {
	elems, err := schema.ParseElems(path)
	if err != nil {
		return 0
	}
	return locateElems(config, elems)
}

func locateElems(text []byte, elems []schema.NameElem) (offset int) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(text))
	for i, e := range elems {
		at, ok := enterMember(dec, e.Name)
		if !ok {
			return offset
		}
		offset = at
		if len(e.Keys) == 0 {
			continue
		}
		entry, at, ok := enterEntry(dec, e.Keys)
		if !ok {
			return offset
		}
		return at + locateElems(entry, elems[i+1:])
	}
	return offset
}

// enterMember reads up to the value of a member of the object that comes next.
func enterMember(dec *jsontext.Decoder, name string) (offset int, ok bool) {
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '{' {
		return 0, false
	}
	for dec.PeekKind() == '"' {
		tok, err := dec.ReadToken()
		if err != nil {
			return 0, false
		}
		member := tok.String()
		at := int(dec.InputOffset()) - len(member) - len(`""`)
		if bare(member) == bare(name) {
			return at, true
		}
		if dec.SkipValue() != nil {
			return 0, false
		}
	}
	return 0, false
}

// enterEntry finds the element with the given keys in the array that comes next.
func enterEntry(dec *jsontext.Decoder, keys map[string]string) (entry []byte, offset int, ok bool) {
	if tok, err := dec.ReadToken(); err != nil || tok.Kind() != '[' {
		return nil, 0, false
	}
	for dec.PeekKind() == '{' {
		v, err := dec.ReadValue()
		if err != nil {
			return nil, 0, false
		}
		if hasKeys(v, keys) {
			return bytes.Clone(v), int(dec.InputOffset()) - len(v), true
		}
	}
	return nil, 0, false
}

func hasKeys(entry []byte, keys map[string]string) bool {
	var members map[string]jsontext.Value
	if json.Unmarshal(entry, &members) != nil {
		return false
	}
	found := 0
	for name, v := range members {
		want, ok := keys[bare(name)]
		if !ok {
			continue
		}
		got := strings.Trim(string(v), `"`)
		if got != want && bare(got) != want {
			return false
		}
		found++
	}
	return found == len(keys)
}

// bare is a name without its module.
func bare(name string) string {
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		return name[i+1:]
	}
	return name
}
