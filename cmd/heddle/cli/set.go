package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

func (c *command) set(ctx context.Context) error {
	fs := c.flags("set")
	within := fs.Duration("confirm-within", 0, "")
	id := fs.String("id", "", "")
	req, err := c.setRequest(fs, "nothing to set")
	if err != nil {
		return err
	}
	if *within != 0 || *id != "" {
		if *id == "" {
			*id = rand.Text()
		}
		req.Extension = append(req.Extension, beginCommit(*id, *within))
	}
	return c.with(ctx, true, func(ctx context.Context, client gpb.GNMIClient) error {
		resp, err := client.Set(ctx, req)
		if err != nil {
			return err
		}
		for _, r := range resp.GetResponse() {
			fmt.Fprintf(c.Out, "%s %s\n", r.GetOp(), text(resp.GetPrefix(), r.GetPath()))
		}
		fmt.Fprintf(c.Out, "committed %s\n", time.Unix(0, resp.GetTimestamp()).Format(time.RFC3339Nano))
		if len(req.GetExtension()) > 0 {
			fmt.Fprintf(c.Out, "unless you say: heddle confirm %s\nwhat was before comes back\n", *id)
		}
		return nil
	})
}

// empty reports whether a SetRequest asks for nothing.
func empty(req *gpb.SetRequest) bool {
	return len(req.GetDelete())+len(req.GetReplace())+len(req.GetUpdate()) == 0
}

// setRequest reads a SetRequest from the command line; nothing is what is said of an
// empty one, which is none of "".
func (c *command) setRequest(flags *flag.FlagSet, nothing string) (*gpb.SetRequest, error) {
	req := &gpb.SetRequest{}
	flags.Func("delete", "PATH", func(arg string) error {
		p, err := parsePath(arg)
		req.Delete = append(req.Delete, p)
		return err
	})
	flags.Func("replace", "PATH=VALUE", func(arg string) error {
		u, err := c.update(arg)
		req.Replace = append(req.Replace, u)
		return err
	})
	flags.Func("update", "PATH=VALUE", func(arg string) error {
		u, err := c.update(arg)
		req.Update = append(req.Update, u)
		return err
	})
	rest, err := c.parseMixed(flags)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, wrongUsage("unexpected argument %q: a change is --delete PATH, --replace PATH=VALUE or --update PATH=VALUE", rest[0])
	}
	if nothing != "" && empty(req) {
		return nil, wrongUsage("%s: use --delete PATH, --replace PATH=VALUE or --update PATH=VALUE", nothing)
	}
	return req, nil
}

// update reads PATH=VALUE.
func (c *command) update(arg string) (*gpb.Update, error) {
	pathText, val, ok := splitPath(arg)
	if !ok {
		return nil, fmt.Errorf("%s: use PATH=VALUE", arg)
	}
	path, err := parsePath(pathText)
	if err != nil {
		return nil, err
	}
	data, err := c.payload(val)
	if err != nil {
		return nil, err
	}
	return &gpb.Update{Path: path, Val: &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: data}}}, nil
}

// payload is JSON as it stands, from a file, or from standard input.
func (c *command) payload(val string) ([]byte, error) {
	if json.Valid([]byte(val)) {
		return []byte(val), nil
	}
	var data []byte
	var err error
	if val == "-" {
		data, err = io.ReadAll(c.In)
	} else {
		data, err = os.ReadFile(val)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("value %s is neither JSON nor a file: a text is written '\"%s\"'", val, val)
	}
	if err != nil {
		return nil, err
	}
	var any json.RawMessage
	if err := json.Unmarshal(data, &any); err != nil {
		return nil, fmt.Errorf("file %s is not JSON: %w", val, err)
	}
	return data, nil
}
