package access

import (
	"fmt"

	gpb "github.com/openconfig/gnmi/proto/gnmi"

	"heddle/schema"
)

// ResolvePath finds the nodes of a path of gNMI, of which keys may be left out or be
// wildcards, but names may not.
func ResolvePath(sc *schema.Schema, p *gpb.Path) (schema.Path, error) {
	if o := p.GetOrigin(); o != "" && o != "openconfig" {
		return nil, fmt.Errorf("origin %q: there is only openconfig", o)
	}
	//lint:ignore SA1019 old clients send it.
	if len(p.GetElement()) > 0 {
		return nil, fmt.Errorf("the path is in the field element, which is no longer in use: put it into elem")
	}
	elems := make([]schema.NameElem, len(p.GetElem()))
	for i, e := range p.GetElem() {
		if e.GetName() == "*" || e.GetName() == "..." {
			return nil, fmt.Errorf("element %d of the path is %s: only keys may be wildcards", i+1, e.GetName())
		}
		elems[i] = schema.NameElem{Name: e.GetName(), Keys: e.GetKey()}
	}
	return sc.Resolve(elems)
}
