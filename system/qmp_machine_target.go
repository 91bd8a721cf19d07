package system

import (
	"github.com/gqemu/gqemu/hw/i386/cpu"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// CPUDefinitionInfo is one entry of query-cpu-definitions.
type CPUDefinitionInfo struct {
	Name                string   `qapi:"name"`
	MigrationSafe       *bool    `qapi:"migration-safe,optional"`
	Static              bool     `qapi:"static"`
	UnavailableFeatures []string `qapi:"unavailable-features,optional"`
	Typename            string   `qapi:"typename"`
	AliasOf             *string  `qapi:"alias-of,optional"`
	Deprecated          bool     `qapi:"deprecated"`
}

// CPUModelInfo is a CPU model with settings.
type CPUModelInfo struct {
	Name  string `qapi:"name"`
	Props any    `qapi:"props,optional"`
}

// CPUModelExpansionInfo is the result of query-cpu-model-expansion.
type CPUModelExpansionInfo struct {
	Model CPUModelInfo `qapi:"model"`
}

type cpuModelExpansionType string

func (cpuModelExpansionType) QAPIName() string   { return "CpuModelExpansionType" }
func (cpuModelExpansionType) QAPIEnum() []string { return []string{"static", "full"} }

type cpuModelExpansionArgs struct {
	Type  cpuModelExpansionType `qapi:"type"`
	Model CPUModelInfo          `qapi:"model"`
}

// registerMachineTarget adds commands of QAPI module machine-target.
func (v *VM) registerMachineTarget() {
	register(v, "query-cpu-definitions", func(none) ([]CPUDefinitionInfo, error) {
		list := []CPUDefinitionInfo{}
		for _, d := range cpu.Definitions(v.acc) {
			list = append(list, CPUDefinitionInfo{
				Name: d.Name, MigrationSafe: ptr(d.MigrationSafe), Static: d.Static, Typename: d.Type,
				UnavailableFeatures: d.Unavailable, AliasOf: optional(d.AliasOf),
			})
		}
		return list, nil
	})
	register(v, "query-cpu-model-expansion", func(a cpuModelExpansionArgs) (CPUModelExpansionInfo, error) {
		return v.expandModel(a)
	})
}

// expandModel says what a CPU model comes to on this accelerator. The object
// that it asks is thrown away.
func (v *VM) expandModel(a cpuModelExpansionArgs) (out CPUModelExpansionInfo, err error) {
	t := cpu.TypeOf(v.env.Types, a.Model.Name)
	if t == nil {
		return out, qapi.Errorf("CPU model '%s' not found", a.Model.Name)
	}
	o, err := v.env.Types.New(t.Name)
	if err != nil {
		return out, err
	}
	// QEMU takes what is no object for none.
	props, _ := a.Model.Props.(map[string]any)
	for _, name := range qjson.Keys(props) {
		if err := qom.Set(o, name, qom.JSON(props[name])); err != nil {
			return out, err
		}
	}
	if err := cpu.Expand(o, v.acc); err != nil {
		return out, err
	}
	out.Model.Name = a.Model.Name
	names := cpu.StaticProperties()
	if a.Type == "full" {
		names = nil
		for _, p := range qom.Properties(o) {
			if p.Get != nil && p.Set != nil && p.Name != "hotplugged" {
				names = append(names, p.Name)
			}
		}
	} else {
		out.Model.Name = "base"
	}
	values := map[string]any{}
	for _, name := range names {
		if values[name], err = qom.Get(o, name); err != nil {
			return out, err
		}
	}
	out.Model.Props = values
	return out, nil
}
