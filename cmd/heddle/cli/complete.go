package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
	"google.golang.org/grpc"

	hpb "heddle/gen/rpc"
)

// commands are those of the command line.
var commands = []string{"cancel", "capabilities", "confirm", "diff", "drift", "explain", "get", "history", "lock", "password", "ping", "plan", "rollback", "set", "trace", "unlock", "watch"}

// bashCompletion asks heddle. What bash takes for a word begins behind = and :, so
// what is before that is cut off what it answers.
const bashCompletion = `_heddle() {
	local line=${COMP_LINE:0:COMP_POINT}
	local word=${line##* }
	local before=${word%"${COMP_WORDS[COMP_CWORD]}"}
	local answer
	COMPREPLY=()
	while IFS= read -r answer; do
		COMPREPLY+=("${answer#"$before"}")
	done < <(heddle complete "$word" 2>/dev/null)
	compopt -o nospace 2>/dev/null || true
}
complete -F _heddle heddle
`

// complete writes what a word can be: a command or, from the model and what there is,
// a path.
func (c *command) complete(ctx context.Context) error {
	args, err := c.parseMixed(c.flags("complete"))
	if err != nil {
		return err
	}
	if len(args) > 1 {
		return wrongUsage("complete takes the beginning of a word, or bash for a script that does")
	}
	word := ""
	if len(args) == 1 {
		word = args[0]
	}
	switch {
	case word == "bash":
		fmt.Fprint(c.Out, bashCompletion)
		return nil
	case !strings.HasPrefix(word, "/"):
		for _, name := range commands {
			if strings.HasPrefix(name, word) {
				fmt.Fprintln(c.Out, name+" ")
			}
		}
		return nil
	}
	head, tail := lastElement(word)
	return c.withConn(ctx, true, func(ctx context.Context, conn *grpc.ClientConn) error {
		resp, err := hpb.NewHeddleClient(conn).Children(ctx, &hpb.ChildrenRequest{Path: head})
		if err != nil {
			return err
		}
		name, rest, inKey := strings.Cut(tail, "[")
		for _, n := range resp.GetNodes() {
			switch {
			case inKey && n.GetName() == name && len(n.GetKeys()) > 0:
				return c.completeKey(ctx, gpb.NewGNMIClient(conn), head+"/"+name, "["+rest, n.GetKeys())
			case inKey || !strings.HasPrefix(n.GetName(), name):
			case n.GetLeaf():
				fmt.Fprintln(c.Out, head+"/"+n.GetName())
			case len(n.GetKeys()) > 0:
				fmt.Fprintf(c.Out, "%s/%s[%s=\n", head, n.GetName(), n.GetKeys()[0])
			default:
				fmt.Fprintln(c.Out, head+"/"+n.GetName()+"/")
			}
		}
		return nil
	})
}

// lastElement cuts the last element, perhaps an unfinished one, off a path.
func lastElement(path string) (head, tail string) {
	inside, at := false, 0
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '\\':
			i++
		case '[':
			inside = true
		case ']':
			inside = false
		case '/':
			if !inside {
				at = i
			}
		}
	}
	return path[:at], path[at+1:]
}

// completeKey writes the entries of a list whose keys begin like that, as far as the
// next key.
func (c *command) completeKey(ctx context.Context, client gpb.GNMIClient, list, typed string, keys []string) error {
	p, err := parsePath(list)
	if err != nil {
		return err
	}
	p.Elem = append(p.Elem, &gpb.PathElem{Name: keys[0]})
	resp, err := client.Get(ctx, &gpb.GetRequest{Path: []*gpb.Path{p}, Encoding: gpb.Encoding_PROTO})
	if err != nil {
		return err
	}
	var all []string
	for _, n := range resp.GetNotification() {
		for _, u := range n.GetUpdate() {
			elems := append(slices.Clone(n.GetPrefix().GetElem()), u.GetPath().GetElem()...)
			entry := elems[len(elems)-2]
			text := ""
			for i, k := range keys {
				next := "[" + k + "=" + escapeValue.Replace(entry.GetKey()[k]) + "]"
				if len(text)+len(next) > len(typed) { // this is the one that is being typed
					if strings.HasPrefix(text+next, typed) {
						if text += next; i+1 < len(keys) {
							text += "[" + keys[i+1] + "="
						}
						all = append(all, list+text)
					}
					break
				}
				text += next
			}
		}
	}
	slices.Sort(all)
	for _, a := range slices.Compact(all) {
		fmt.Fprintln(c.Out, a)
	}
	return nil
}
