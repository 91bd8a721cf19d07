package system

import (
	"slices"
	"strings"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// CommandLineOptionInfo is one entry of query-command-line-options.
type CommandLineOptionInfo struct {
	Option     string                     `qapi:"option"`
	Parameters []CommandLineParameterInfo `qapi:"parameters"`
}

// CommandLineParameterInfo is one parameter of an option.
type CommandLineParameterInfo struct {
	Name    string                   `qapi:"name"`
	Type    commandLineParameterType `qapi:"type"`
	Help    *string                  `qapi:"help,optional"`
	Default *string                  `qapi:"default,optional"`
}

type commandLineParameterType string

func (commandLineParameterType) QAPIName() string { return "CommandLineParameterType" }
func (commandLineParameterType) QAPIEnum() []string {
	return []string{"string", "boolean", "number", "size"}
}

type queryOptionsArgs struct {
	Option *string `qapi:"option,optional"`
}

// registerOptions adds query-command-line-options.
func (v *VM) registerOptions() {
	register(v, "query-command-line-options", func(a queryOptionsArgs) ([]CommandLineOptionInfo, error) {
		list := []CommandLineOptionInfo{}
		wanted := func(name string) bool { return a.Option == nil || *a.Option == name }
		if wanted("machine") {
			list = append(list, CommandLineOptionInfo{"machine", v.machineParameters()})
		}
		for _, g := range cli.OptionGroups() {
			if wanted(g.Name) {
				list = append(list, CommandLineOptionInfo{g.Name, groupParameters(g)})
			}
		}
		if len(list) == 0 {
			return nil, qapi.Errorf("invalid option name: %s", *a.Option)
		}
		return list, nil
	}, qapi.AllowPreconfig())
}

// groupParameters are those of an option, the last declared first.
func groupParameters(g *cli.OptsSpec) []CommandLineParameterInfo {
	types := map[cli.OptType]commandLineParameterType{
		cli.OptString: "string", cli.OptBool: "boolean", cli.OptNumber: "number", cli.OptSize: "size",
	}
	list := []CommandLineParameterInfo{}
	for _, d := range slices.Backward(g.Desc) {
		p := CommandLineParameterInfo{Name: d.Name, Type: types[d.Type], Help: optional(d.Help)}
		if g.Name == "chardev" && d.Name == "tight" {
			p.Default = ptr("on") // the only one that QEMU declares
		}
		list = append(list, p)
	}
	return list
}

// machineParameters are the properties of all machine types: what a further
// type adds comes before the rest.
func (v *VM) machineParameters() []CommandLineParameterInfo {
	var list []CommandLineParameterInfo
	seen := map[string]bool{"type": true}
	for _, t := range slices.Backward(v.env.Types.List("machine", false)) {
		if machine.ClassOf(t) == nil {
			continue
		}
		var added []CommandLineParameterInfo
		for _, p := range t.AllProperties() {
			if p.Set != nil && !seen[p.Name] {
				seen[p.Name] = true
				added = append(added, CommandLineParameterInfo{
					Name: p.Name, Type: propertyParameterType(p), Help: optional(p.Description),
				})
			}
		}
		list = append(added, list...)
	}
	typ := CommandLineParameterInfo{Name: "type", Type: "string", Help: ptr("machine type")}
	return append([]CommandLineParameterInfo{typ}, list...)
}

func propertyParameterType(p *qom.Property) commandLineParameterType {
	switch {
	case p.Type == "bool":
		return "boolean"
	case p.Type == "size":
		return "size"
	case strings.HasPrefix(p.Type, "int"), strings.HasPrefix(p.Type, "uint"):
		return "number"
	}
	return "string"
}
