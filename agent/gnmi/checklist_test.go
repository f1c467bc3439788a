package gnmi_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var writeTable = flag.Bool("write-conformance", false, "write the table of docs/gnmi.md")

// line is a line of the check-list of what a correct target does: a requirement of
// the specification or of one of its sibling documents, and how it is shown that it
// is met.
type line struct {
	number int
	says   string
	check  []func(*testing.T)
	note   string // how we take it, where the specification leaves that open
}

// ofLine reports whether a case belongs to a line: its name begins with the number.
func ofLine(name, line string) bool {
	return line == "" || strings.TrimLeft(strings.Fields(name)[0], "0") == strings.TrimLeft(line, "0")
}

// TestChecklist goes through the check-list against a server over gRPC, and compares
// the table of docs/gnmi.md with what came out.
//
//	go test ./agent/gnmi -run TestChecklist -write-conformance
//
// writes it.
func TestChecklist(t *testing.T) {
	var table bytes.Buffer
	table.WriteString("| Line | What the specification asks | Met | How we take it |\n|---|---|---|---|\n")
	all := true
	for i, l := range checklist() {
		if l.number != i+1 {
			t.Fatalf("line %d is at place %d", l.number, i+1)
		}
		met, ran := "no", true
		if len(l.check) > 0 {
			ok := t.Run(fmt.Sprintf("%d_%s", l.number, name(l.says)), func(t *testing.T) {
				ran = false
				for i, check := range l.check {
					t.Run(fmt.Sprint("check", i+1), check)
				}
				ran = true
			})
			if ok {
				met = "yes"
			}
		}
		all = all && ran
		note := l.note
		if note == "" {
			note = "-"
		}
		fmt.Fprintf(&table, "| %d | %s | %s | %s |\n", l.number, l.says, met, note)
	}
	if f := flag.Lookup("test.run"); f.Value.String() != "" && strings.Contains(f.Value.String(), "/") || !all || t.Failed() {
		return // not all of it ran, or failed already
	}
	compareTable(t, table.String())
}

// compareTable compares the table of docs/gnmi.md, or writes it.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const page, begin, end = "../../docs/gnmi.md", "<!-- conformance: begin; written by TestChecklist -->\n", "<!-- conformance: end -->\n"
	text, err := os.ReadFile(page)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), begin)
	old, after, ok2 := strings.Cut(rest, end)
	switch {
	case !ok || !ok2:
		t.Fatalf("%s has no place for the table: %s%s", page, begin, end)
	case old == table:
	case *writeTable:
		must(t, os.WriteFile(page, []byte(before+begin+table+end+after), 0o644))
	default:
		t.Errorf("%s does not say what came out:\n%s\nwrite it with -write-conformance and look at the difference", page, table)
	}
}

// name makes a name for a test of the first words of a line.
func name(says string) string {
	words := strings.FieldsFunc(says, func(r rune) bool { return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') })
	return strings.Join(words[:min(len(words), 4)], "-")
}

func do(checks ...func(*testing.T)) []func(*testing.T) { return checks }

// checklist is the list, in the words of gnmi-specification.md and its siblings.
func checklist() []line {
	return []line{
		{1, "TLS 1.2 or newer, no silent fallback to plaintext; mutual X.509", do(TestGNMI001_TLS, TestGNMI001_ClientCertificates, TestGNMI001_NoPlaintextListener), "TLS 1.3; plaintext where a flag asks for it; [security.md](security.md)"},
		{2, "Reflection is registered", do(TestGNMI002_Reflection), ""},
		{3, "Bad credentials are Unauthenticated, no permission is PermissionDenied", do(TestGNMI003_Passwords, TestNewInstallIsClosed), "refused before the request is read"},
		{4, "Capabilities lists every module with organization and version, the encodings and the version of gNMI", do(TestGNMI004_Capabilities), "JSON, JSON_IETF, PROTO; gNMI 0.10.0"},
		{5, "Depth on Capabilities or Set is an error", do(TestGNMI005_Extensions), "so is every extension where it has no meaning, or twice, or unknown: none is ignored"},

		{6, "The root is zero elems", do(pathCases("6")), ""},
		{7, "Prefix and path together are the path, in Get, Set and Subscribe", do(pathCases("7"), prefixes), ""},
		{8, "A target is echoed in the prefix of the answer, and never required", do(targetIsEchoed), "only a prefix may have one"},
		{9, "An origin in both prefix and path is an error", do(pathCases("9"), badSubscriptions("9")), ""},
		{10, "No origin is openconfig", do(pathCases("10")), ""},
		{11, "An unknown origin is an error", do(pathCases("11"), badSubscriptions("11")), "`openconfig` is the only one"},
		{12, "An omitted key is `[k=*]`; `*` is one level, `...` many", do(pathCases("12")), ""},
		{13, "Returned paths hold no wildcards", do(noWildcardsReturned), ""},
		{14, "Keys are strings whatever the type; IPv6, `/` and `]` survive", do(pathCases("14"), keysSurvive), "returned in canonical form (RFC 5952)"},
		{15, "Wrong keys for the schema are InvalidArgument", do(pathCases("15"), refusals("15"), badSubscriptions("15")), ""},

		{16, "One Notification for each path of a Get", do(oneNotificationPerPath), ""},
		{17, "The encoding is honoured; unset is JSON; one that is not supported is Unimplemented, by name", do(encodings, badSubscriptions("17")), ""},
		{18, "Types ALL, CONFIG, STATE and OPERATIONAL", do(dataTypes), "OPERATIONAL is state without a configured counterpart"},
		{19, "A leaf whose default is in use returns the default", do(valueCases("19")), "a default inside a container where nothing is configured is not in use"},
		{20, "An absent leaf without default is NotFound, even if other paths exist", do(oneNotificationPerPath), ""},
		{21, "Not in the model is Unimplemented, malformed is InvalidArgument", do(pathCases("21")), ""},
		{22, "use_models is honoured or refused", do(useModels, badSubscriptions("22")), "honoured when it names all modules below the paths; a public name makes the answer carry it"},
		{23, "A leaf is a bare value, a container an object without its own name", do(valueCases("23")), ""},
		{24, "JSON_IETF is RFC 7951", do(valueCases("24"), pathCases("decision")), "on input prefixes may be left out, and be those of OpenConfig where our node is compatible"},
		{25, "PROTO is typed scalars, a leaf-list a ScalarArray", do(protoScalars, protoLeafList), ""},
		{26, "The timestamp is that of the snapshot, in nanoseconds", do(oneNotificationPerPath), "the same for all paths of a Get"},

		{27, "Delete, replace, update, whatever the order on the wire; one path several times in order", do(orderOfOperations), ""},
		{28, "An empty Set is OK", do(emptySet), ""},
		{29, "All or nothing", do(refusals(""), kernelRefuses), ""},
		{30, "No telemetry shows an intermediate state", do(noIntermediateState), ""},
		{31, "One UpdateResult for each operation, in order", do(results), "the deprecated fields stay empty"},
		{32, "A delete of what is not there is OK", do(setCases("32")), ""},
		{33, "A delete with wildcards or some of the keys expands; subtrees go whole", do(setCases("33")), ""},
		{34, "Replace of a container deletes what is left out, or puts its default back", do(setCases("34")), ""},
		{35, "Replace of a list removes entries that are left out, update adds", do(setCases("35")), ""},
		{36, "An update never deletes", do(setCases("36"), setCases("decision")), "update of a leaf-list merges"},
		{37, "Replace of a list entry with `{}`, or of a leaf with nothing, is InvalidArgument", do(refusals("37")), ""},
		{38, "Some of the keys in an update or replace, or a key unlike its leaf, is InvalidArgument", do(refusals("38")), ""},
		{39, "Wrong type, range or pattern is InvalidArgument; an unknown path is NotFound with the path", do(refusals("39")), ""},
		{40, "A write to config false is an error; unknown members are refused", do(refusals("40")), ""},
		{41, "An unknown encoding of a payload is Unimplemented", do(refusals("41")), ""},
		{42, "Several origins in a Set are one transaction", do(severalOrigins), "`openconfig` and none"},
		{43, "Origin cli, if offered", do(severalOrigins), "not offered: InvalidArgument"},
		{44, "union_replace beside the others is InvalidArgument", do(severalOrigins, unionReplace), "replaces each path; what overlaps is put together, and InvalidArgument where it disagrees"},
		{45, "Replace of the root with what Get gave changes nothing", do(rootRoundTrip), ""},
		{46, "A presence container replaced with `{}` exists", do(presence), "the model has none"},
		{47, "Two objects swap addresses in one Set", do(addressSwap), ""},

		{48, "Commit confirmed", do(commitConfirmed, commitMistakes), "over a restart or `kill -9`, too, and when the kernel does not take it at once; from 1 ns to 24 hours (`--limit confirm-time`), for who may write something; who began it, or an administrator, ends it; a Set that does not begin a commit has no changes"},
		{49, "Master arbitration", do(masterArbitration), "of who may write what the Set asks for; forgotten when the agent ends"},
		{50, "Depth", do(depth), ""},
		{51, "Config subscription", do(configSubscription), "sync_done for every commit, whatever its paths, with our revision as server_commit_id"},
		{52, "History", do(pastSnapshot, pastRange, pastMistakes), "of the configuration; no history of state is kept"},

		{53, "The first message of Subscribe is a SubscriptionList, the only one, and not empty", do(badSubscriptions("53")), ""},
		{54, "A path without data yet stays open; not in the model is Unimplemented", do(badSubscriptions("54"), dataComesLater), ""},
		{55, "ONCE: data, sync_response, OK", do(once), ""},
		{56, "STREAM: one sync_response; POLL: one for each poll", do(poll, onChangeOfAll), "data and sync_response also before the first Poll"},
		{57, "updates_only: sync_response and no initial data", do(updatesOnly, once), ""},
		{58, "ON_CHANGE of configuration, whoever changed it; heartbeat sends again", do(onChangeOfAll, heartbeat, badSubscriptions("58"), onChangeOfCounters), "counters have no event: ON_CHANGE of counters alone is InvalidArgument"},
		{59, "SAMPLE: 0 is the fastest offered, what cannot be done InvalidArgument; suppress_redundant by leaf", do(sample, suppressRedundant, badSubscriptions("59")), "from 1 s up"},
		{60, "TARGET_DEFINED by leaf", do(targetDefined), "counters are sampled, the rest is on change"},
		{61, "One leaf in an Update unless allow_aggregation", do(mixedList, aggregation), "one leaf with allow_aggregation too"},
		{62, "A leaf that went is a delete, one back to its default an update", do(backToDefault, onChangeOfAll, sample), "exactly one delete, in every mode"},
		{63, "The timestamp is when it was collected or happened", do(timestamps), ""},
		{64, "A slow client: values fall together and are counted in duplicates, others do not wait", do(slowClient), ""},
		{65, "No path twice in a Notification", do(mixedList), ""},
		{66, "Atomic lists have the entry as prefix and are complete", do(noAtomicList), "the model has none of those that OpenConfig marks (AFT)"},
	}
}
