package agent

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"github.com/openconfig/ygot/ygot"
	"github.com/openconfig/ygot/ytypes"

	"heddle/gen/config"
	"heddle/schema"
)

// leaves is a configuration as a map from the path of each leaf to its JSON. A
// list entry is there when its key leaves are. It is the reference that the
// agent is compared with: written to be plainly right, it walks and copies all
// there is, and shares no code with the datastore. ygot says what is of the right
// type and which references lead somewhere.
type leaves map[string]string

// request is one edit as text: a path with the keys in the model's order, and
// JSON_IETF.
type request struct {
	op   schema.Op
	path string
	doc  string

	// refused says why no agent may take it, whatever else is configured, where
	// ygot would.
	refused string
}

func (r request) String() string { return fmt.Sprintf("%s %s %s", r.op, r.path, r.doc) }

// listKeys are the lists by their paths without keys.
var listKeys = map[string][]string{
	"/interfaces/interface":                                                                          {"name"},
	"/interfaces/interface/subinterfaces/subinterface":                                               {"index"},
	"/interfaces/interface/subinterfaces/subinterface/ipv4/addresses/address":                        {"ip"},
	"/interfaces/interface/subinterfaces/subinterface/ipv6/addresses/address":                        {"ip"},
	"/interfaces/interface/subinterfaces/subinterface/ipv4/neighbors/neighbor":                       {"ip"},
	"/interfaces/interface/subinterfaces/subinterface/ipv6/neighbors/neighbor":                       {"ip"},
	"/network-instances/network-instance":                                                            {"name"},
	"/network-instances/network-instance/interfaces/interface":                                       {"id"},
	"/network-instances/network-instance/protocols/protocol":                                         {"identifier", "name"},
	"/network-instances/network-instance/protocols/protocol/static-routes/static":                    {"prefix"},
	"/network-instances/network-instance/protocols/protocol/static-routes/static/next-hops/next-hop": {"index"},
	"/network-instances/network-instance/segment-routing/srv6/interfaces/interface":                  {"interface-id"},
	"/network-instances/network-instance/segment-routing/srv6/locators/locator":                      {"name"},
	"/network-instances/network-instance/segment-routing/srv6/sids/sid":                              {"address"},
}

// defaultLeaves are the leaves with a default by name: set to it they are unset.
var defaultLeaves = map[string]string{"enabled": "true", "sid-interface": `"sr0"`, "standalone": "false", "mode": `"H_ENCAPS"`}

var (
	keysOf      = regexp.MustCompile(`\[[^\]]*\]`)
	eachEntry   = regexp.MustCompile(`\](/|$)`)
	eachKey     = regexp.MustCompile(`\[([^=]*)=([^\]]*)\]`)
	moduleOfOne = regexp.MustCompile(`^heddle-[a-z0-9-]+:`)
)

func withoutKeys(path string) string { return keysOf.ReplaceAllString(path, "") }

// bare is a name without its module.
func bare(name string) string {
	if !strings.HasPrefix(name, "heddle-") {
		return name
	}
	return moduleOfOne.ReplaceAllString(name, "")
}

// after is the configuration with the edits done, of which the first that is
// wrong by itself is the error.
func (l leaves) after(edits []request) (leaves, error) {
	next := maps.Clone(l)
	for _, e := range edits {
		alone := leaves{}
		alone.do(e)
		d, err := alone.device()
		if err == nil {
			err = d.Validate(&ytypes.LeafrefOptions{IgnoreMissingData: true})
		}
		if err == nil && e.refused != "" {
			err = fmt.Errorf("%s", e.refused)
		}
		if err != nil {
			return nil, fmt.Errorf("%v: %w", e, err)
		}
		next.do(e)
	}
	maps.DeleteFunc(next, func(path, value string) bool {
		return defaultLeaves[path[strings.LastIndexByte(path, '/')+1:]] == value
	})
	return next, nil
}

func (l leaves) do(e request) {
	path := strings.TrimSuffix(e.path, "/")
	if e.op != schema.Update {
		l.remove(path)
	}
	if e.op == schema.Delete {
		return
	}
	d := json.NewDecoder(strings.NewReader(e.doc))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(fmt.Sprintf("%v: %v", e, err)) // the test's own text
	}
	l.put(path, v)
}

// remove deletes what is at a path and below; * stands for any key. Keys go only
// with their entry.
func (l leaves) remove(path string) {
	pattern := strings.ReplaceAll(regexp.QuoteMeta(path), `=\*`, `=[^\]]*`)
	at := regexp.MustCompile(`^` + pattern + `(/|\[|$)`)
	for leaf := range l {
		entry, isKey := entryOfKey(leaf)
		if at.MatchString(leaf) && (!isKey || at.MatchString(entry)) {
			delete(l, leaf)
		}
	}
}

// entryOfKey is the entry whose key a leaf is.
func entryOfKey(leaf string) (entry string, isKey bool) {
	entry, name, ok := strings.Cut(leaf[strings.LastIndexByte(leaf, ']')+1:], "/config/")
	if !ok || entry != "" {
		return "", false
	}
	entry = leaf[:strings.LastIndexByte(leaf, ']')+1]
	return entry, slices.Contains(listKeys[withoutKeys(entry)], name)
}

// put lays JSON over what is at a path.
func (l leaves) put(path string, v any) {
	keys, isList := listKeys[withoutKeys(path)]
	inEntry := strings.HasSuffix(path, "]")
	switch v := v.(type) {
	case []any:
		if isList && !inEntry {
			for _, e := range v {
				l.putEntry(path, keys, e.(map[string]any))
			}
			return
		}
	case map[string]any:
		l.enter(path)
		for name, member := range v {
			name = bare(name)
			if !inEntry || !slices.Contains(keys, name) {
				l.put(path+"/"+name, member)
			}
		}
		return
	}
	l.enter(path)
	l.putLeaf(path, v)
}

func (l leaves) putEntry(list string, keys []string, e map[string]any) {
	at := list
	for _, k := range keys {
		key, ok := e[k]
		if !ok {
			key = e["config"].(map[string]any)[k]
		}
		at += "[" + k + "=" + strings.Trim(plain(key), `"`) + "]"
	}
	l.put(at, e)
}

func (l leaves) putLeaf(path string, v any) {
	list, isList := v.([]any)
	if !isList {
		l[path] = plain(v)
		return
	}
	var all []string
	if old := strings.Trim(l[path], "[]"); old != "" {
		all = strings.Split(old, ",")
	}
	for _, x := range list {
		if !slices.Contains(all, plain(x)) {
			all = append(all, plain(x))
		}
	}
	if len(all) > 0 {
		l[path] = "[" + strings.Join(all, ",") + "]"
	}
}

// enter makes the entries that a path leads through.
func (l leaves) enter(path string) {
	for _, end := range eachEntry.FindAllStringIndex(path, -1) {
		entry := path[:end[0]+1]
		last := entry[strings.LastIndex(entry, "]/")+1:]
		for _, k := range eachKey.FindAllStringSubmatch(last, -1) {
			value := `"` + k[2] + `"`
			if k[1] == "index" && strings.HasSuffix(withoutKeys(entry), "/subinterface") {
				value = k[2]
			}
			l[entry+"/config/"+k[1]] = value
		}
	}
}

// plain is one value in JSON, identities without their module and addresses as
// the model writes them.
func plain(v any) string {
	s, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	s = bare(s)
	if a, err := netip.ParseAddr(s); err == nil {
		s = a.String()
	}
	return `"` + s + `"`
}

// device is the configuration in ygot's own tree.
func (l leaves) device() (*config.Device, error) {
	d := &config.Device{}
	for _, path := range slices.Sorted(maps.Keys(l)) {
		p, err := ygot.StringToStructuredPath(path)
		if err != nil {
			return nil, err
		}
		v := &gpb.TypedValue{Value: &gpb.TypedValue_JsonIetfVal{JsonIetfVal: []byte(l[path])}}
		if err := ytypes.SetNode(config.SchemaTree["Device"], d, p, v, &ytypes.InitMissingElements{}); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return d, nil
}

// document is the configuration as JSON_IETF, an error if types or references
// are wrong.
func (l leaves) document() (string, error) {
	d, err := l.device()
	if err == nil {
		err = d.Validate()
	}
	if err != nil {
		return "", err
	}
	return ygot.EmitJSON(d, &ygot.EmitJSONConfig{Format: ygot.RFC7951, SkipValidation: true,
		RFC7951Config: &ygot.RFC7951JSONConfig{AppendModuleName: true}})
}

// leavesOf reads a document.
func leavesOf(doc string) leaves {
	l := leaves{}
	l.do(request{op: schema.Update, path: "/", doc: doc})
	return l
}
