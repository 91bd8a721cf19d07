package system

import (
	"strings"

	"github.com/gqemu/gqemu/qapi"
)

// TraceEventInfo is one entry of trace-event-get-state.
type TraceEventInfo struct {
	Name  string          `qapi:"name"`
	State traceEventState `qapi:"state"`
	VCPU  bool            `qapi:"vcpu,deprecated"`
}

type traceEventState string

func (traceEventState) QAPIName() string   { return "TraceEventState" }
func (traceEventState) QAPIEnum() []string { return []string{"unavailable", "disabled", "enabled"} }

type traceGetArgs struct {
	Name string `qapi:"name"`
	VCPU *int64 `qapi:"vcpu,optional,deprecated"`
}

type traceSetArgs struct {
	Name              string `qapi:"name"`
	Enable            bool   `qapi:"enable"`
	IgnoreUnavailable *bool  `qapi:"ignore-unavailable,optional"`
	VCPU              *int64 `qapi:"vcpu,optional,deprecated"`
}

// registerTrace adds commands of QAPI module trace. Nothing here is built with
// trace events, so a pattern matches none and a name is unknown.
func (v *VM) registerTrace() {
	// The vCPU is ignored, as in QEMU since 8.1.
	check := func(name string) error {
		if !strings.ContainsAny(name, "*?") {
			return qapi.Errorf("unknown event \"%s\"", name)
		}
		return nil
	}
	register(v, "trace-event-get-state", func(a traceGetArgs) ([]TraceEventInfo, error) {
		return []TraceEventInfo{}, check(a.Name)
	})
	register(v, "trace-event-set-state", func(a traceSetArgs) (none, error) { return none{}, check(a.Name) })
}
