// Package control is the line between the lab's host tool and the process that
// holds a lab (in the virtual machine, or on the host for LAB=netns): run
// commands with streams and terminals, copy files, bring topologies up, ask for
// the state. One TCP or unix connection carries one request. It serves lab/cli
// and lab/guest; it must not know how a machine is booted.
//
// On the wire: the client sends one line of JSON (Request), then both sides send
// frames of one octet kind, four octets length (big endian) and that many octets.
// The server's last frame is an exit frame.
package control

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Op names what a request wants.
type Op string

const (
	OpExec   Op = "exec"   // run Argv in Node; streams as frames
	OpRead   Op = "read"   // send Path as a tar stream on stdout
	OpWrite  Op = "write"  // unpack the tar stream on stdin into the directory Path
	OpUp     Op = "up"     // build Topology; forward Ports
	OpAgent  Op = "agent"  // Action on the agent of Node
	OpStatus Op = "status" // reply with Status
	OpDown   Op = "down"   // tear down and end the serving process
)

// Request is the first line of a connection.
type Request struct {
	Token string
	Op    Op

	Node string   `json:",omitempty"` // empty: the lab's root namespace
	Argv []string `json:",omitempty"`
	Env  []string `json:",omitempty"` // KEY=VALUE, added to the server's own
	Dir  string   `json:",omitempty"`
	// TTY asks for a terminal of Rows x Cols; stderr then comes on stdout.
	TTY        bool   `json:",omitempty"`
	Rows, Cols uint16 `json:",omitempty"`

	Path string `json:",omitempty"`

	File     string         `json:",omitempty"` // name of the topology file
	Topology []byte         `json:",omitempty"` // its text
	Agents   bool           `json:",omitempty"` // start an agent on every router
	Listen   map[string]int `json:",omitempty"` // router -> TCP port to listen on
	ListenOn string         `json:",omitempty"` // address for Listen

	Action string `json:",omitempty"` // start, stop, kill9
}

// Status is the reply to OpStatus and OpUp.
type Status struct {
	Kernel   string // release of the running kernel
	Topology string
	Nodes    []NodeStatus
}

// NodeStatus is one node of Status.
type NodeStatus struct {
	Name      string
	Kind      string
	Namespace string
	Listen    int    `json:",omitempty"` // TCP port of the agent's forward, 0: none
	AgentPID  int    `json:",omitempty"`
	AgentEnd  string `json:",omitempty"` // how the agent ended, when it did
	Socket    string `json:",omitempty"`
	Log       string `json:",omitempty"`
}

type kind byte

const (
	kindStdin      kind = 'i'
	kindStdinClose kind = 'c'
	kindStdout     kind = 'o'
	kindStderr     kind = 'e'
	kindResize     kind = 'w' // rows, cols as two big-endian uint16
	kindSignal     kind = 's' // one octet: the signal's number
	kindReply      kind = 'r' // JSON
	kindExit       kind = 'x' // JSON exit
)

// exit ends a connection: Code is the command's exit code (128+n for signal n),
// Err says why there was none.
type exit struct {
	Code int
	Err  string `json:",omitempty"`
}

// maxFrame bounds what a peer can make us allocate.
const maxFrame = 1 << 20

// framer writes whole frames from several goroutines.
type framer struct {
	mu sync.Mutex // guards w
	w  io.Writer
}

func (f *framer) send(k kind, payload []byte) error {
	var head [5]byte
	head[0] = byte(k)
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.w.Write(append(head[:], payload...)); err != nil {
		return fmt.Errorf("send frame: %w", err)
	}
	return nil
}

func (f *framer) sendJSON(k kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	return f.send(k, b)
}

// stream returns a writer whose writes become frames of one kind.
func (f *framer) stream(k kind) io.Writer { return streamWriter{f, k} }

type streamWriter struct {
	f *framer
	k kind
}

func (w streamWriter) Write(p []byte) (int, error) {
	for done := 0; done < len(p); {
		n := min(len(p)-done, maxFrame)
		if err := w.f.send(w.k, p[done:done+n]); err != nil {
			return done, err
		}
		done += n
	}
	return len(p), nil
}

// readFrame returns io.EOF only when the peer closed between two frames.
func readFrame(r io.Reader) (kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, nil, fmt.Errorf("read frame: %w", err)
		}
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[1:])
	if size > maxFrame {
		return 0, nil, fmt.Errorf("read frame: %d octets announced, at most %d are allowed", size, maxFrame)
	}
	payload := make([]byte, size)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, fmt.Errorf("read frame: %w", err)
	}
	return kind(head[0]), payload, nil
}
