package datastore

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sampleLog is a log of n commits with two entries each, and the sizes of the
// file after each line.
func sampleLog(n int) (data []byte, lines []int) {
	add := func(record any) {
		data = appendRecord(data, record)
		lines = append(lines, len(data))
	}
	add(logHeader{Format: 1, Generation: 3, Revision: 10})
	for i := range uint64(n) {
		add(beginLine{Revision: 11 + i, Time: time.Unix(1e9, 0).UTC(), User: "ann", Source: "gnmi"})
		add(entryLine{Path: "/interfaces/interface[name=e3]", Value: []byte(`{"name":"e3"}`)})
		add(entryLine{Path: "/interfaces/interface[name=e4]", Delete: true})
		add(commitLine{Revision: 11 + i, Entries: 2})
	}
	return data, lines
}

// TestLogCutAnywhere cuts a log at every octet: what is read are the commits
// that are whole, and appending goes on behind them.
func TestLogCutAnywhere(t *testing.T) {
	data, lines := sampleLog(3)
	for cut := lines[0]; cut <= len(data); cut++ {
		l, err := readLog(data[:cut])
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		whole, groups := lines[0], 0
		for g := 1; g <= 3; g++ {
			if lines[4*g] <= cut {
				whole, groups = lines[4*g], g
			}
		}
		if len(l.groups) != groups || l.whole != int64(whole) {
			t.Fatalf("cut at %d: %d commits in %d octets, want %d in %d", cut, len(l.groups), l.whole, groups, whole)
		}
		want := uint64(0)
		if cut > whole {
			want = uint64(11 + groups)
		}
		if l.unfinished != want {
			t.Fatalf("cut at %d: commit %d is not finished, want %d", cut, l.unfinished, want)
		}
	}
	for cut := range lines[0] {
		if _, err := readLog(data[:cut]); err == nil {
			t.Fatalf("cut at %d, within the header: no error", cut)
		}
	}
}

// TestLogDamagedAnywhere changes every octet: the damage is found, or it is in the
// last commit, which then does not count.
func TestLogDamagedAnywhere(t *testing.T) {
	data, lines := sampleLog(3)
	for i := range data {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		l, err := readLog(bad)
		var at *fileError
		switch {
		case i < lines[8] && !errors.As(err, &at):
			t.Fatalf("octet %d: error %v, want one with a place", i, err)
		case i < lines[8] && at.line != bytes.Count(data[:i], []byte("\n"))+1:
			// A damaged line end makes one line of two; the first is named.
			t.Fatalf("octet %d: line %d, want %d: %v", i, at.line, bytes.Count(data[:i], []byte("\n"))+1, err)
		case i >= lines[8] && (err != nil || len(l.groups) != 2 || l.unfinished != 13):
			t.Fatalf("octet %d, in the last commit: %+v, %v", i, l, err)
		}
	}
}

func TestLogOutOfOrder(t *testing.T) {
	head := logHeader{Format: 1, Generation: 1, Revision: 4}
	tests := map[string][]any{
		"follows":               {head, beginLine{Revision: 6}, commitLine{Revision: 6}},
		"closes":                {head, beginLine{Revision: 5}, commitLine{Revision: 5, Entries: 1}},
		"is expected here":      {head, []int{1}},
		"cannot be read":        {head, beginLine{Revision: 5}, []int{1}},
		"not a log":             {[]int{1}},
		"has format version 2,": {logHeader{Format: 2}},
	}
	for want, records := range tests {
		var data []byte
		for _, r := range records {
			data = appendRecord(data, r)
		}
		if _, err := readLog(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
}

func FuzzReadLog(f *testing.F) {
	data, lines := sampleLog(2)
	f.Add(data, false)
	f.Add(data[:lines[3]], false)
	f.Add(append(bytes.Clone(data[:lines[4]]), make([]byte, 100)...), false)
	f.Add([]byte("00000000 {}\n"), false)
	var bare []byte
	for line := range bytes.Lines(data) {
		bare = append(bare, line[9:]...)
	}
	f.Add(bare, true)
	f.Fuzz(func(t *testing.T, data []byte, sum bool) {
		if sum {
			// Past the checksums, which hide the rest of the decoder.
			var summed []byte
			for line := range bytes.Lines(data) {
				summed = appendLine(summed, func(dst []byte) []byte { return append(dst, bytes.TrimSuffix(line, []byte("\n"))...) })
			}
			data = summed
		}
		l, err := readLog(data)
		if err != nil {
			var at *fileError
			if !errors.As(err, &at) || at.line < 1 || at.column < 1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if l.whole > int64(len(data)) || (l.unfinished != 0) != (l.whole < int64(len(data))) {
			t.Fatalf("%d of %d octets are whole, unfinished is %d", l.whole, len(data), l.unfinished)
		}
		again, err := readLog(data[:l.whole])
		if err != nil || !reflect.DeepEqual(again.groups, l.groups) || again.unfinished != 0 {
			t.Fatalf("the whole part reads as %+v, %v; before %+v", again, err, l)
		}
	})
}

func FuzzReadStartup(f *testing.F) {
	f.Add([]byte(`{"heddle-startup":{"format":1},"configuration":{"interfaces":{"interface":[{"name":"e3"}]}}}`), "/interfaces/interface[name=e3]/config")
	f.Add([]byte("{\n\"heddle-startup\": {\"format\":1},\n\"configuration\": {},\n\"checksum\": \"crc32c:297bd0aa\"\n}\n"), "/a")
	f.Add([]byte(`{"configuration":[]}`), "/a[b=c]/d")
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		c, err := readStartup(data)
		if err != nil {
			var at *fileError
			if !errors.As(err, &at) || at.line < 1 || at.column < 1 || at.line > bytes.Count(data, []byte("\n"))+1 {
				t.Fatalf("error without a place: %v", err)
			}
			return
		}
		if !bytes.Equal(data[c.offset:c.offset+len(c.config)], c.config) || c.header.Format != formatVersion {
			t.Fatalf("header %+v, configuration at %d is not %q", c.header, c.offset, c.config)
		}
		if at := locate(c.config, path); at < 0 || at > len(c.config) {
			t.Fatalf("%q is at %d of %d", path, at, len(c.config))
		}
	})
}

// FuzzLoad starts a store with any two files: it runs, or refuses and can be
// mended.
func FuzzLoad(f *testing.F) {
	log, _ := sampleLog(1)
	f.Add([]byte(`{"heddle-startup":{"format":1,"generation":3,"revision":10},"configuration":{"interfaces":{"interface":[{"name":"e3"}]}}}`), log)
	f.Add([]byte(nil), log)
	f.Add([]byte("{}"), []byte(nil))
	f.Fuzz(func(t *testing.T, startup, log []byte) {
		fs := newMemFS()
		if len(startup) > 0 {
			fs.put(startupName, startup)
		}
		if len(log) > 0 {
			fs.put(logName, log)
		}
		r := open(t, fs, &kernel{})
		var refused *StartupError
		if _, err := r.Start(t.Context()); err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		res := r.must(replace(t, "/", `{"interfaces":{"interface":[{"name":"e9"}]}}`))
		if got, again := reopened(t, fs.reboot(loseAll)); got != text(t, r.Snapshot()) || again.Revision != r.Snapshot().Revision() {
			t.Fatalf("a restart finds %s, %+v; the commit was %+v", got, again, res)
		}
	})
}

func TestPlaceOfAPath(t *testing.T) {
	config := []byte(`{
  "heddle-interfaces:interfaces": {
    "interface": [
      {"name": "e3", "config": {"name": "e3"}},
      {"name": "a]b", "config": {"name": "a]b",
        "mtu": 7}}
    ]
  },
  "x": {"y": [{"id": 7, "kind": "m:K", "z": 1}]}
}`)
	for path, want := range map[string]string{
		"/interfaces": `"heddle-interfaces:interfaces"`,
		"/heddle-interfaces:interfaces/interface[name=e3]/config": `"config": {"name": "e3"}`,
		`/interfaces/interface[name=a\]b]/config/mtu`:             `"mtu"`,
		"/interfaces/interface[name=gone]/config":                 `"interface"`,
		"/interfaces/other":                                       `"heddle-interfaces:interfaces"`,
		"/x/y[id=7][kind=K]/z":                                    `"z"`,
		"/none":                                                   "{",
		"[":                                                       "{",
	} {
		at := locate(config, path)
		if got := string(config[at:]); !strings.HasPrefix(got, want) {
			t.Errorf("%s is at %.30q, want %s", path, got, want)
		}
	}
	line, column := place(config, locate(config, `/interfaces/interface[name=a\]b]/config/mtu`))
	if fmt.Sprint(line, column) != "6 9" {
		t.Errorf("line %d column %d, want 6 9", line, column)
	}
}
