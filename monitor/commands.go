package monitor

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/qapi"
)

// capabilitiesCommand ends the negotiation, and is all there is before.
const capabilitiesCommand = "qmp_capabilities"

// lockless names the commands that touch nothing but the session and what
// never changes. They run without the VM's lock, so that a client gets through
// the handshake while the VM is at something long.
var lockless = map[string]bool{
	capabilitiesCommand: true,
	"query-version":     true,
	"query-commands":    true,
	"query-qmp-schema":  true,
	"getfd":             true,
	"closefd":           true,
}

type (
	capability string

	capabilitiesArgs struct {
		Enable []capability `qapi:"enable,optional"`
	}

	versionTriple struct {
		Major int64 `qapi:"major"`
		Minor int64 `qapi:"minor"`
		Micro int64 `qapi:"micro"`
	}

	versionInfo struct {
		QEMU    versionTriple `qapi:"qemu"`
		Package string        `qapi:"package"`
	}

	commandInfo struct {
		Name string `qapi:"name"`
	}

	fdArgs struct {
		Name string `qapi:"fdname"`
	}

	none struct{}
)

func (capability) QAPIEnum() []string  { return []string{"oob"} }
func (capability) QAPIName() string    { return "QMPCapability" }
func (versionTriple) QAPIName() string { return "VersionTriple" }
func (versionInfo) QAPIName() string   { return "VersionInfo" }
func (commandInfo) QAPIName() string   { return "CommandInfo" }
func (v Version) info() versionInfo {
	return versionInfo{versionTriple{v.Major, v.Minor, v.Micro}, v.Package}
}
func fdNotFound(name string) error { return qapi.Errorf("File descriptor named '%s' not found", name) }

func registerCommands(r *qapi.Registry, v Version) {
	qapi.Register(r, capabilitiesCommand, capabilities, qapi.AllowPreconfig())
	qapi.Register(r, "query-version", func(context.Context, *qapi.Call, none) (versionInfo, error) {
		return v.info(), nil
	}, qapi.AllowPreconfig())
	qapi.Register(r, "query-commands", func(context.Context, *qapi.Call, none) ([]commandInfo, error) {
		var list []commandInfo
		for _, c := range slices.Backward(r.Commands()) { // as QEMU, the last first
			list = append(list, commandInfo{c.Name})
		}
		return list, nil
	}, qapi.AllowPreconfig())
	schema := sync.OnceValue(r.Schema)
	qapi.Register(r, "query-qmp-schema", func(context.Context, *qapi.Call, none) ([]qapi.SchemaInfo, error) {
		return schema(), nil
	}, qapi.AllowPreconfig())
	qapi.Register(r, "getfd", getfd)
	qapi.Register(r, "closefd", closefd)
}

// capabilities is the command qmp_capabilities. What it changes takes effect
// together with its reply.
func capabilities(_ context.Context, c *qapi.Call, a capabilitiesArgs) (none, error) {
	s, ok := c.Session.(*call)
	if !ok || s.state.negotiated {
		return none{}, qapi.ClassErrorf(qapi.CommandNotFound,
			"Capabilities negotiation is already complete, command ignored")
	}
	if len(a.Enable) > 0 && !s.s.offersOOB {
		names := "oob" + strings.Repeat(", oob", len(a.Enable)-1)
		return none{}, qapi.Errorf("Capability %s not available", names)
	}
	s.end = &protocol{negotiated: true, oob: len(a.Enable) > 0}
	return none{}, nil
}

func getfd(_ context.Context, c *qapi.Call, a fdArgs) (none, error) {
	fd, ok := -1, false
	if c.Session != nil {
		fd, ok = c.Session.TakeFD()
	}
	if !ok {
		return none{}, qapi.Errorf("No file descriptor supplied via SCM_RIGHTS")
	}
	if a.Name != "" && '0' <= a.Name[0] && a.Name[0] <= '9' {
		closeFDs([]int{fd})
		return none{}, qapi.Errorf("Parameter 'fdname' expects a name not starting with a digit")
	}
	c.Session.AddFD(a.Name, fd)
	return none{}, nil
}

func closefd(_ context.Context, c *qapi.Call, a fdArgs) (none, error) {
	if c.Session == nil {
		return none{}, fdNotFound(a.Name)
	}
	fd, ok := c.Session.FD(a.Name)
	if !ok {
		return none{}, fdNotFound(a.Name)
	}
	closeFDs([]int{fd})
	return none{}, nil
}

// greeting is what a client gets first.
func (s *session) greeting() qjson.Object {
	capabilities := []any{}
	if s.offersOOB {
		capabilities = append(capabilities, "oob")
	}
	cfg := &s.set.cfg
	return qjson.Object{{Key: "QMP", Value: qjson.Object{
		{Key: "version", Value: cfg.Registry.Encode(cfg.Version.info())},
		{Key: "capabilities", Value: capabilities},
	}}}
}
