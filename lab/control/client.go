package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// Client talks to a Server.
type Client struct {
	Network string // "tcp" or "unix"
	Address string
	Token   string
}

// Streams are the local ends of a command.
type Streams struct {
	Stdin          io.Reader // nil: closed at once
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal // passed on to the command's process group
	Resize         <-chan [2]uint16 // rows, cols
}

// LostError says that a connection ended without an answer: the lab has died,
// or was never there.
type LostError struct{ Err error }

func (e *LostError) Error() string { return "talk to the lab: " + e.Err.Error() }
func (e *LostError) Unwrap() error { return e.Err }

func (c *Client) open(ctx context.Context, req Request) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	conn, err := d.DialContext(ctx, c.Network, c.Address)
	if err != nil {
		return nil, &LostError{err}
	}
	req.Token = c.Token
	line, err := json.Marshal(req)
	if err == nil {
		_, err = conn.Write(append(line, '\n'))
	}
	if err != nil {
		conn.Close()
		return nil, &LostError{err}
	}
	return conn, nil
}

// Exec runs a request's command and returns its exit code. ctx ends it early;
// the command is then killed.
func (c *Client) Exec(ctx context.Context, req Request, s Streams) (int, error) {
	req.Op = OpExec
	conn, err := c.open(ctx, req)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	out := &framer{w: conn}
	over := make(chan struct{})
	defer close(over)
	go sendInput(out, s, over)
	code, _, err := receive(conn, s.Stdout, s.Stderr)
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return code, err
}

// sendInput carries the local side to the server. Send errors need no report:
// the receiving side meets the same broken connection.
func sendInput(out *framer, s Streams, over <-chan struct{}) {
	if s.Stdin == nil {
		_ = out.send(kindStdinClose, nil)
	} else {
		go func() {
			_, _ = io.Copy(out.stream(kindStdin), s.Stdin)
			_ = out.send(kindStdinClose, nil)
		}()
	}
	for {
		select {
		case <-over:
			return
		case sig := <-s.Signals:
			if n, ok := sig.(syscall.Signal); ok {
				_ = out.send(kindSignal, []byte{byte(n)})
			}
		case size := <-s.Resize:
			_ = out.send(kindResize, []byte{byte(size[0] >> 8), byte(size[0]), byte(size[1] >> 8), byte(size[1])})
		}
	}
}

// receive handles the server's frames up to the exit frame. The error is a
// *LostError when that never came, else the server's own text.
func receive(conn io.Reader, stdout, stderr io.Writer) (code int, reply []byte, err error) {
	in := bufio.NewReaderSize(conn, 64<<10)
	for {
		k, payload, err := readFrame(in)
		if err != nil {
			return 0, nil, &LostError{err}
		}
		switch k {
		case kindStdout:
			_, err = stdout.Write(payload)
		case kindStderr:
			_, err = stderr.Write(payload)
		case kindReply:
			reply = payload
		case kindExit:
			var e exit
			if err := json.Unmarshal(payload, &e); err != nil {
				return 0, nil, &LostError{err}
			}
			if e.Err != "" {
				return 0, nil, errors.New(e.Err)
			}
			return e.Code, reply, nil
		}
		if err != nil {
			return 0, nil, fmt.Errorf("write output: %w", err)
		}
	}
}

// do runs a request without input; Status is decoded when there is a reply.
func (c *Client) do(ctx context.Context, req Request) (Status, error) {
	conn, err := c.open(ctx, req)
	if err != nil {
		return Status{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	_, reply, err := receive(conn, io.Discard, io.Discard)
	if ctx.Err() != nil {
		return Status{}, ctx.Err()
	}
	if err != nil || reply == nil {
		return Status{}, err
	}
	var st Status
	if err := json.Unmarshal(reply, &st); err != nil {
		return Status{}, fmt.Errorf("read status: %w", err)
	}
	return st, nil
}

// Up builds a topology.
func (c *Client) Up(ctx context.Context, req Request) (Status, error) {
	req.Op = OpUp
	return c.do(ctx, req)
}

// Status asks for the state.
func (c *Client) Status(ctx context.Context) (Status, error) {
	return c.do(ctx, Request{Op: OpStatus})
}

// Agent starts, stops or kills (kill9) a router's agent.
func (c *Client) Agent(ctx context.Context, action, node string) error {
	_, err := c.do(ctx, Request{Op: OpAgent, Action: action, Node: node})
	return err
}

// Down tears the lab down and ends the serving process.
func (c *Client) Down(ctx context.Context) error {
	_, err := c.do(ctx, Request{Op: OpDown})
	return err
}

// CopyOut copies a file or directory of the lab to a local path, as cp -r does.
func (c *Client) CopyOut(ctx context.Context, from, to string) error {
	conn, err := c.open(ctx, Request{Op: OpRead, Path: from})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	r, w := io.Pipe()
	received := make(chan error, 1)
	go func() {
		_, _, err := receive(conn, w, io.Discard)
		w.CloseWithError(errOrEOF(err))
		received <- err
	}()
	unpacked := unpackTar(r, to)
	// Lets the receiver go on to the server's own, better, error.
	_, _ = io.Copy(io.Discard, r)
	if err := <-received; err != nil {
		return err
	}
	return unpacked
}

func errOrEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// CopyIn copies a local file or directory into the lab, as cp -r does.
func (c *Client) CopyIn(ctx context.Context, from, to string) error {
	if _, err := os.Lstat(from); err != nil {
		return fmt.Errorf("copy: %w", err)
	}
	conn, err := c.open(ctx, Request{Op: OpWrite, Path: to})
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	out := &framer{w: conn}
	packed := make(chan error, 1)
	go func() {
		err := packTar(from, out.stream(kindStdin))
		if err == nil {
			err = out.send(kindStdinClose, nil)
		}
		packed <- err
	}()
	_, _, err = receive(conn, io.Discard, io.Discard)
	if err != nil {
		// Ends the packer when the server refused half-way.
		conn.Close()
		<-packed
		return err
	}
	return <-packed
}
