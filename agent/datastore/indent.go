package datastore

import "io"

// indenter lays out compact JSON for people as it passes: a member or element a
// line, two spaces a level. It relies on its input being JSON.
type indenter struct {
	w     io.Writer
	buf   []byte
	depth int
	// text says that the last octet was within a string, escape that it was a
	// backslash there, opened that it opened an object or array.
	text, escape, opened bool
}

// indentBuffer is how many octets are collected for one write.
const indentBuffer = 1 << 16

func (i *indenter) Write(p []byte) (int, error) {
	for n, c := range p {
		if len(i.buf) >= indentBuffer {
			if err := i.flush(); err != nil {
				return n, err
			}
		}
		if i.text {
			i.buf = append(i.buf, c)
			i.text = c != '"' || i.escape
			i.escape = c == '\\' && !i.escape
			continue
		}
		switch c {
		case '{', '[':
			i.value()
			i.depth++
			i.opened = true
			i.buf = append(i.buf, c)
			continue
		case '}', ']':
			i.depth--
			if !i.opened {
				i.line()
			}
			i.opened = false
			i.buf = append(i.buf, c)
		case ',':
			i.buf = append(i.buf, c)
			i.line()
		case ':':
			i.buf = append(i.buf, c, ' ')
		case ' ', '\t', '\n', '\r':
		default:
			i.value()
			i.text = c == '"'
			i.buf = append(i.buf, c)
		}
	}
	return len(p), nil
}

// value begins what is not empty.
func (i *indenter) value() {
	if i.opened {
		i.opened = false
		i.line()
	}
}

const spaces = "                                                                "

func (i *indenter) line() {
	i.buf = append(i.buf, '\n')
	for n := 2 * i.depth; n > 0; n -= len(spaces) {
		i.buf = append(i.buf, spaces[:min(n, len(spaces))]...)
	}
}

// flush writes what was collected.
func (i *indenter) flush() error {
	err := writeAll(i.w, i.buf)
	i.buf = i.buf[:0]
	return err
}
