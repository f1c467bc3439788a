package gnmi

//lint:file-ignore SA1019 what gNMI gave up is refused by name here.

import (
	"maps"
	"slices"
	"strings"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// originOpenConfig names the one tree that is served; an empty origin means it
// too (gNMI path conventions).
const originOpenConfig = "openconfig"

// checkPrefix checks the prefix of a message.
func checkPrefix(prefix *gpb.Path) error {
	if err := checkElement(prefix); err != nil {
		return err
	}
	return checkOrigin(prefix.GetOrigin())
}

func checkOrigin(origin string) error {
	if origin != "" && origin != originOpenConfig {
		return invalid("origin %q is not offered: use %q or none", origin, originOpenConfig)
	}
	return nil
}

// checkElement refuses the encoding of paths that gNMI 0.4 gave up. Clients that
// write the path both ways, like gnmi_cli, are fine.
func checkElement(p *gpb.Path) error {
	if len(p.GetElement()) > 0 && len(p.GetElem()) == 0 {
		return invalid("path %q: the field element is no longer in use: put the path into elem", p.GetElement())
	}
	return nil
}

// join gives the elements of prefix and path together.
func join(prefix, path *gpb.Path) ([]schema.NameElem, error) {
	if err := checkElement(path); err != nil {
		return nil, err
	}
	if path.GetOrigin() != "" && prefix.GetOrigin() != "" {
		return nil, invalid("origin is both in the prefix (%q) and in a path (%q): put it in one of them", prefix.GetOrigin(), path.GetOrigin())
	}
	if err := checkOrigin(path.GetOrigin()); err != nil {
		return nil, err
	}
	if path.GetTarget() != "" {
		return nil, invalid("target %q is in a path: put it in the prefix", path.GetTarget())
	}
	elems := make([]schema.NameElem, 0, len(prefix.GetElem())+len(path.GetElem()))
	for _, p := range []*gpb.Path{prefix, path} {
		for _, e := range p.GetElem() {
			elems = append(elems, schema.NameElem{Name: e.GetName(), Keys: e.GetKey()})
		}
	}
	return elems, nil
}

// queryPaths resolves the path of a query, which may hold wildcards.
func (s *Server) queryPaths(prefix, path *gpb.Path) ([]schema.Path, error) {
	elems, err := join(prefix, path)
	if err != nil {
		return nil, err
	}
	paths, err := s.schema.ResolveQuery(elems)
	if err != nil {
		return nil, s.statusOf(err, query)
	}
	return paths, nil
}

// setPath resolves the path of a replace or update. Errors have a status, or are those
// of the schema.
func (s *Server) setPath(prefix, path *gpb.Path) (schema.Path, error) {
	elems, err := join(prefix, path)
	if err != nil {
		return nil, err
	}
	return s.schema.Resolve(elems)
}

// origin is what a client called the tree, to be echoed.
func originOf(prefix *gpb.Path, paths ...*gpb.Path) string {
	if o := prefix.GetOrigin(); o != "" {
		return o
	}
	for _, p := range paths {
		if o := p.GetOrigin(); o != "" {
			return o
		}
	}
	return ""
}

// responsePrefix is the prefix of a notification with absolute paths; nil when
// there is nothing to say.
func responsePrefix(target, origin string) *gpb.Path {
	if target == "" && origin == "" {
		return nil
	}
	return &gpb.Path{Target: target, Origin: origin}
}

// display is the text of a path as the client wrote it.
func display(prefix, path *gpb.Path) string {
	var b strings.Builder
	for _, p := range []*gpb.Path{prefix, path} {
		for _, e := range p.GetElem() {
			b.WriteString("/" + e.GetName())
			for _, k := range slices.Sorted(maps.Keys(e.GetKey())) {
				b.WriteString("[" + k + "=" + e.GetKey()[k] + "]")
			}
		}
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}
