package agent

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"heddle/agent/datastore"
	"heddle/kernel/kerneltest"
	"heddle/kernel/object"
	"heddle/schema"
)

// TestGNMI045_RoundTripOfExamples: what Get says of the configuration of a
// router, defaults and all, can be set again, and that is nothing to do: no
// revision, nothing for the kernel, nothing on the disk. The rules are the real
// ones; they would refuse a default that is shown where it does not belong.
func TestGNMI045_RoundTripOfExamples(t *testing.T) {
	for name, docs := range map[string][]string{
		"cr1": {"l3vpn/cr1"}, "pe3": {"l3vpn/pe3"}, "pe4": {"l3vpn/pe4"},
		"tenant-b-pe3": {"l3vpn/pe3", "l3vpn/tenant-b-pe3"}, "tenant-b-pe4": {"l3vpn/pe4", "l3vpn/tenant-b-pe4"},
		"links-r1": {"links/r1"}, "links-r2": {"links/r2"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := kerneltest.NewFake()
			links := []string{"e1", "e2", "e3", "e4", "e5"}
			for _, l := range links {
				for _, o := range []object.Object{object.Link{Name: l, Type: object.LinkVeth, Peer: l + "-far"}, object.LinkConfig{Link: l, Admin: object.AdminUp, MTU: 1500}} {
					if err := fake.Put(o); err != nil {
						t.Fatal(err)
					}
				}
			}
			dir := t.TempDir()
			a := fakeAgent(t, fake, dir, links...)
			t.Cleanup(func() { // after those who serve
				if err := a.Close(); err != nil {
					t.Error(err)
				}
			})
			for i, doc := range docs {
				data, err := os.ReadFile("../examples/" + doc + ".json")
				if err != nil {
					t.Fatal(err)
				}
				op := schema.Update
				if i == 0 {
					op = schema.Replace
				}
				if _, err := a.Commit(t.Context(), datastore.Request{Edits: []schema.Edit{edit(t, a.schema, op, "/", string(data))}}); err != nil {
					t.Fatal(err)
				}
			}
			client := serveFake(t, a)
			for _, enc := range []gpb.Encoding{gpb.Encoding_JSON, gpb.Encoding_JSON_IETF, gpb.Encoding_PROTO} {
				revision, ops, state := a.store.Snapshot().Revision(), fake.Ops(), files(t, dir)
				setAgain(t, client, enc)
				if got := a.store.Snapshot().Revision(); got != revision {
					t.Errorf("%s: revision %d, before %d", enc, got, revision)
				}
				if got := fake.Ops(); got != ops {
					t.Errorf("%s: %d operations of the kernel, before %d", enc, got, ops)
				}
				if !maps.Equal(files(t, dir), state) {
					t.Errorf("%s: something was written", enc)
				}
			}
		})
	}
}

// setAgain replaces the configuration by what Get says it is: the leaves are
// laid over nothing.
func setAgain(t *testing.T, client gpb.GNMIClient, enc gpb.Encoding) {
	t.Helper()
	got, err := client.Get(t.Context(), &gpb.GetRequest{Path: []*gpb.Path{{}}, Type: gpb.GetRequest_CONFIG, Encoding: enc})
	if err != nil {
		t.Fatalf("%s: %v", enc, err)
	}
	updates := slices.Concat(got.GetNotification()[0].GetUpdate())
	if len(updates) == 0 {
		t.Fatalf("%s: there is nothing to set", enc)
	}
	req := &gpb.SetRequest{Replace: updates}
	if enc == gpb.Encoding_PROTO {
		req = &gpb.SetRequest{Delete: []*gpb.Path{{}}, Update: updates}
	}
	if _, err := client.Set(t.Context(), req); err != nil {
		t.Fatalf("%s: %v", enc, err)
	}
}

// serveFake serves gNMI for an agent that fakeAgent made.
func serveFake(t *testing.T, a *Agent) gpb.GNMIClient {
	t.Helper()
	a.cfg.Unix = filepath.Join(t.TempDir(), "gnmi.sock")
	d, err := a.openDoors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.serve(ctx, d) }()
	conn, err := grpc.NewClient("unix://"+a.cfg.Unix, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return gpb.NewGNMIClient(conn)
}

// files is what lies below a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		all[path] = info.ModTime().String() + string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
