package system

import (
	"context"
	"slices"
	"testing"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/qapi"
)

// -object and object-add take the same types with the same members: they are
// declared apart, since the command line knows no QAPI.
func TestObjectTypesAgree(t *testing.T) {
	var r qapi.Registry
	qapi.Register(&r, "object-add", func(context.Context, *qapi.Call, map[string]any) (none, error) {
		return none{}, nil
	}, qapi.CheckedArgs[ObjectOptions]())
	args := r.Command("object-add").Args()
	seen := map[string]bool{}
	types := cli.DefaultObjectTypes()
	for _, v := range args.Variants {
		for _, name := range v.Cases {
			seen[name] = true
			var have, want []string
			for _, m := range v.Type.Members {
				have = append(have, m.Name)
			}
			for _, m := range types[name] {
				want = append(want, m.Name)
				i := slices.IndexFunc(v.Type.Members, func(o qapi.Member) bool { return o.Name == m.Name })
				if i >= 0 && v.Type.Members[i].Optional != m.Optional {
					t.Errorf("%s.%s is optional in one place only", name, m.Name)
				}
			}
			slices.Sort(have)
			slices.Sort(want)
			if !slices.Equal(have, want) {
				t.Errorf("%s: object-add has %v, -object %v", name, have, want)
			}
		}
	}
	for name := range types {
		if !seen[name] {
			t.Errorf("object-add has no %s", name)
		}
	}
}
