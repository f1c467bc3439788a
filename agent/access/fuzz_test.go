package access

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/metadata"

	"heddle/schema"
)

// Whatever is in a file that says who may do what, it is right as a whole or lets nobody
// in.
func FuzzFiles(f *testing.F) {
	sc, err := schema.Heddle()
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{
		"", "#\n", "alice admin\nbob read-only\n", "alice\n", "alice nosuch\n", "alice admin\nalice admin\n",
		"alice:$2a$04$abcdefghijklmnopqrstuuxyz0123456789ABCDEFGHIJKLMNOPQRSTU\n", "alice:x\n", ":\n",
		`{"version":"1","policy":{"rules":[{"id":"x","user":"alice","mode":"MODE_READ","action":"ACTION_PERMIT","path":{}}]}}`,
		`{"version":"1","policy":{"groups":[{"name":"g","users":[{"name":"alice"}]}],"rules":[{"id":"x","group":"g","mode":"MODE_WRITE","action":"ACTION_DENY","path":{"elem":[{"name":"interfaces"},{"name":"interface","key":{"name":"*"}}]}}]}}`,
		`{"version":"1","policy":"{\"name\":\"p\",\"allow_rules\":[{\"name\":\"all\",\"source\":{\"principals\":[\"al*\"]},\"request\":{\"paths\":[\"*\"],\"headers\":[{\"key\":\"x\",\"values\":[\"*y\"]}]}}]}"}`,
	} {
		f.Add([]byte(text))
	}
	log := slog.New(slog.DiscardHandler)
	alice := Identity{Name: "alice", Method: ByCertificate}
	root, err := sc.ParsePath("/interfaces/interface[name=a]/config/mtu")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if r := NewRoles(file, log); r.broken != nil && r.Of(alice) != None {
			t.Error("a wrong file of roles gives one")
		}
		if hashes, err := parsePasswords(file, text); err != nil && hashes != nil {
			t.Error("a wrong file of passwords has some")
		}
		if p, there := NewPathPolicies(sc, file, log).Active(); !there {
			t.Error("there is a policy of paths")
		} else if p != nil {
			_, _ = p.Permits("alice", root, true)
			_, _ = view{sc, p.user("alice").read}.Entry(root.Entry())
		}
		if p, there := NewRPCPolicies(file, log).Active(); !there {
			t.Error("there is a policy of RPCs")
		} else if p != nil {
			_, _ = p.Permits("alice", methodGet, metadata.Pairs("x", "y"))
		}
	})
}

// Whatever a connection carries, and however it is cut, what is counted of it is the
// same, and never less than nothing.
func FuzzArrivals(f *testing.F) {
	preface := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	for _, frames := range [][]byte{
		nil, frame(frameData, 0, 1, message(10, 4)), frame(frameData, flagEndStream, 1, message(10, 10)),
		append(frame(frameData, 0, 1, message(3, 3)), frame(frameData, 0, 1, message(100, 20))...),
		frame(frameData, flagPadded, 1, append([]byte{3}, message(10, 8)...)), frame(frameData, flagPadded, 1, []byte{255, 1}),
		append(frame(frameData, 0, 1, message(10, 4)), frame(frameReset, 0, 1, make([]byte, 4))...), frame(frameHeaders, flagEndStream, 1, []byte("x")),
	} {
		f.Add(append(bytes.Clone(preface), frames...), uint16(3))
	}
	f.Fuzz(func(t *testing.T, octets []byte, size uint16) {
		var whole, cut arrivals
		wholeErr := whole.take(octets)
		var cutErr error
		for rest := octets; len(rest) > 0 && cutErr == nil; {
			n := min(len(rest), 1+int(size))
			cutErr = cut.take(rest[:n])
			rest = rest[n:]
			if cut.behind < 0 || cut.behind > int64(len(octets)) {
				t.Fatalf("%d octets behind the first messages, of %d", cut.behind, len(octets))
			}
		}
		if (wholeErr == nil) != (cutErr == nil) || wholeErr == nil && (whole.behind != cut.behind || len(whole.streams) != len(cut.streams)) {
			t.Errorf("whole: %d octets, %d streams, %v; cut: %d, %d, %v", whole.behind, len(whole.streams), wholeErr, cut.behind, len(cut.streams), cutErr)
		}
	})
}
