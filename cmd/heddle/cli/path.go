package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"
)

// parsePath reads the text of a path. "\" takes the meaning from the character
// behind it.
func parsePath(text string) (*gpb.Path, error) {
	if text != "" && text[0] != '/' {
		return nil, wrongUsage("path %s: a path starts with /", text)
	}
	p := &gpb.Path{}
	for rest := strings.TrimPrefix(text, "/"); rest != ""; {
		name, after := until(rest, "/[")
		if name == "" {
			return nil, wrongUsage("path %s: an element without a name", text)
		}
		e := &gpb.PathElem{Name: name}
		for strings.HasPrefix(after, "[") {
			key, v := until(after[1:], "=]")
			if key == "" || !strings.HasPrefix(v, "=") {
				return nil, wrongUsage("path %s: a key is written [name=value]", text)
			}
			val, end := until(v[1:], "]")
			if end == "" {
				return nil, wrongUsage("path %s: a [ without its ]", text)
			}
			if e.Key == nil {
				e.Key = map[string]string{}
			}
			if _, twice := e.Key[key]; twice {
				return nil, wrongUsage("path %s: key %s is there twice", text, key)
			}
			e.Key[key], after = val, end[1:]
		}
		p.Elem = append(p.Elem, e)
		if after == "" {
			break
		}
		if after[0] != '/' || after == "/" {
			return nil, wrongUsage("path %s: unexpected %q", text, after)
		}
		rest = after[1:]
	}
	return p, nil
}

// until reads up to one of the characters in stop, which stays in rest.
func until(s, stop string) (token, rest string) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case strings.IndexByte(stop, s[i]) >= 0:
			return b.String(), s[i:]
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String(), ""
}

// splitPath separates PATH=VALUE at the first = outside of brackets.
func splitPath(arg string) (path, value string, ok bool) {
	inside := false
	for i := 0; i < len(arg); i++ {
		switch arg[i] {
		case '\\':
			i++
		case '[':
			inside = true
		case ']':
			inside = false
		case '=':
			if !inside {
				return arg[:i], arg[i+1:], true
			}
		}
	}
	return "", "", false
}

var (
	escapeName  = strings.NewReplacer(`\`, `\\`, `/`, `\/`, `[`, `\[`)
	escapeKey   = strings.NewReplacer(`\`, `\\`, `=`, `\=`, `]`, `\]`)
	escapeValue = strings.NewReplacer(`\`, `\\`, `]`, `\]`)
)

// text writes prefix and path as parsePath reads them.
func text(prefix, path *gpb.Path) string {
	var b strings.Builder
	for _, p := range []*gpb.Path{prefix, path} {
		for _, e := range p.GetElem() {
			b.WriteString("/" + escapeName.Replace(e.GetName()))
			for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
				fmt.Fprintf(&b, "[%s=%s]", escapeKey.Replace(k), escapeValue.Replace(e.GetKey()[k]))
			}
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

// value writes a value on one line.
func value(v *gpb.TypedValue) string {
	switch v := v.GetValue().(type) {
	case *gpb.TypedValue_JsonVal:
		return string(v.JsonVal)
	case *gpb.TypedValue_JsonIetfVal:
		return string(v.JsonIetfVal)
	case *gpb.TypedValue_StringVal:
		return v.StringVal
	case *gpb.TypedValue_IntVal:
		return fmt.Sprint(v.IntVal)
	case *gpb.TypedValue_UintVal:
		return fmt.Sprint(v.UintVal)
	case *gpb.TypedValue_BoolVal:
		return fmt.Sprint(v.BoolVal)
	case *gpb.TypedValue_DoubleVal:
		return fmt.Sprint(v.DoubleVal)
	case *gpb.TypedValue_BytesVal:
		return fmt.Sprintf("%x", v.BytesVal)
	case *gpb.TypedValue_AsciiVal:
		return v.AsciiVal
	case *gpb.TypedValue_LeaflistVal:
		all := make([]string, len(v.LeaflistVal.GetElement()))
		for i, e := range v.LeaflistVal.GetElement() {
			all[i] = value(e)
		}
		return "[" + strings.Join(all, " ") + "]"
	}
	return fmt.Sprint(v)
}
