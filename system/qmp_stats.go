package system

import (
	"slices"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

type statsType string

func (statsType) QAPIName() string { return "StatsType" }
func (statsType) QAPIEnum() []string {
	return []string{"cumulative", "instant", "peak", "linear-histogram", "log2-histogram"}
}

type statsUnit string

func (statsUnit) QAPIName() string   { return "StatsUnit" }
func (statsUnit) QAPIEnum() []string { return []string{"bytes", "seconds", "cycles", "boolean"} }

type statsProvider string

func (statsProvider) QAPIName() string   { return "StatsProvider" }
func (statsProvider) QAPIEnum() []string { return []string{"kvm", "cryptodev"} }

type statsTarget string

func (statsTarget) QAPIName() string   { return "StatsTarget" }
func (statsTarget) QAPIEnum() []string { return []string{"vm", "vcpu", "cryptodev"} }

// StatsRequest asks a provider for some of its statistics, or all.
type StatsRequest struct {
	Provider statsProvider `qapi:"provider"`
	Names    []string      `qapi:"names,optional"`
}

// StatsFilter is the argument of query-stats.
type StatsFilter struct {
	Target    statsTarget      `qapi:"target,discriminator"`
	Providers []StatsRequest   `qapi:"providers,optional"`
	VCPU      *StatsVCPUFilter `qapi:",case=vcpu"`
}

// StatsVCPUFilter names vCPUs by their QOM paths.
type StatsVCPUFilter struct {
	VCPUs []string `qapi:"vcpus,optional"`
}

// StatsValue is a number, a truth, or a histogram.
type StatsValue struct {
	Scalar  *uint64  `qapi:"scalar,alternate"`
	Boolean *bool    `qapi:"boolean,alternate"`
	List    []uint64 `qapi:"list,alternate"`
}

// Stats is one statistic.
type Stats struct {
	Name  string     `qapi:"name"`
	Value StatsValue `qapi:"value"`
}

// StatsResult is what a VM or a vCPU counts.
type StatsResult struct {
	Provider statsProvider `qapi:"provider"`
	QOMPath  *string       `qapi:"qom-path,optional"`
	Stats    []Stats       `qapi:"stats"`
}

// StatsSchemaValue describes a statistic.
type StatsSchemaValue struct {
	Name       string     `qapi:"name"`
	Type       statsType  `qapi:"type"`
	Unit       *statsUnit `qapi:"unit,optional"`
	Base       *int8      `qapi:"base,optional"`
	Exponent   int16      `qapi:"exponent"`
	BucketSize *uint32    `qapi:"bucket-size,optional"`
}

// StatsSchema describes what a provider counts of a target.
type StatsSchema struct {
	Provider statsProvider      `qapi:"provider"`
	Target   statsTarget        `qapi:"target"`
	Stats    []StatsSchemaValue `qapi:"stats"`
}

type statsSchemasArgs struct {
	Provider *statsProvider `qapi:"provider,optional"`
}

// registerStats adds commands of QAPI module stats. KVM is the only provider.
func (v *VM) registerStats() {
	register(v, "query-stats", v.queryStats)
	register(v, "query-stats-schemas", func(a statsSchemasArgs) ([]StatsSchema, error) {
		list := []StatsSchema{}
		if a.Provider != nil && *a.Provider != "kvm" {
			return list, nil
		}
		err := v.paused(func() error {
			for _, target := range []statsTarget{"vcpu", "vm"} {
				src := v.statSources(target)
				if len(src) == 0 {
					continue
				}
				stats, err := src[0].Stats()
				if err != nil {
					return err
				}
				if len(stats) > 0 {
					list = append(list, schemaOf(target, stats))
				}
			}
			return nil
		})
		return list, err
	})
}

// statSource is a source and, for a vCPU, where it is in the tree.
type statSource struct {
	accel.StatSource
	path string
}

func (v *VM) statSources(target statsTarget) (list []statSource) {
	switch target {
	case "vm":
		if s, ok := v.acc.(accel.StatSource); ok {
			list = append(list, statSource{s, ""})
		}
	case "vcpu":
		for _, c := range v.machine.CPUs() {
			if s, ok := c.VCPU.(accel.StatSource); ok {
				list = append(list, statSource{s, qom.Path(c.Object)})
			}
		}
	}
	return list
}

func (v *VM) queryStats(a StatsFilter) ([]StatsResult, error) {
	list := []StatsResult{}
	var names []string
	if a.Providers != nil {
		i := slices.IndexFunc(a.Providers, func(r StatsRequest) bool { return r.Provider == "kvm" })
		if i < 0 {
			return list, nil
		}
		names = a.Providers[i].Names
	}
	err := v.paused(func() error {
		for _, src := range v.statSources(a.Target) {
			if a.VCPU != nil && a.VCPU.VCPUs != nil && !slices.Contains(a.VCPU.VCPUs, src.path) {
				continue
			}
			stats, err := src.Stats()
			if err != nil {
				return err
			}
			r := StatsResult{Provider: "kvm", QOMPath: optional(src.path), Stats: []Stats{}}
			for _, s := range slices.Backward(stats) { // as QEMU lists them
				if names == nil || slices.Contains(names, s.Name) {
					r.Stats = append(r.Stats, Stats{s.Name, statValue(s)})
				}
			}
			if len(r.Stats) > 0 {
				list = append(list, r)
			}
		}
		return nil
	})
	if err != nil {
		return nil, qapi.Errorf("%w", err)
	}
	return list, nil
}

func statValue(s accel.Stat) StatsValue {
	switch {
	case len(s.Values) != 1:
		return StatsValue{List: append([]uint64{}, s.Values...)}
	case s.Unit == accel.UnitBoolean:
		return StatsValue{Boolean: ptr(s.Values[0] != 0)}
	}
	return StatsValue{Scalar: &s.Values[0]}
}

func schemaOf(target statsTarget, stats []accel.Stat) StatsSchema {
	out := StatsSchema{Provider: "kvm", Target: target, Stats: []StatsSchemaValue{}}
	types, units := statsType("").QAPIEnum(), statsUnit("").QAPIEnum()
	for _, s := range slices.Backward(stats) {
		e := StatsSchemaValue{Name: s.Name, Type: statsType(types[s.Kind]), Exponent: s.Exponent}
		if s.Unit != accel.UnitNone {
			e.Unit = ptr(statsUnit(units[s.Unit-1]))
		}
		if s.Exponent != 0 {
			e.Base = ptr(int8(s.Base))
		}
		if s.Kind == accel.StatLinearHistogram {
			e.BucketSize = ptr(s.BucketSize)
		}
		out.Stats = append(out.Stats, e)
	}
	return out
}
