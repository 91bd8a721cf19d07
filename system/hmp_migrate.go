package system

import (
	"strings"

	"github.com/gqemu/gqemu/monitor/hmp"
)

// infoMigrate shows the settings; there never is a migration to show.
func (h *human) infoMigrate(c *hmp.Call) error {
	c.Printf("globals:\nstore-global-state: on\nonly-migratable: %s\nsend-configuration: on\n"+
		"send-section-footer: on\ndecompress-error-check: on\nclear-bitmap-shift: 18\n", onOff(h.v.cfg.OnlyMigratable))
	return nil
}

func (h *human) infoMigrateCapabilities(c *hmp.Call) error {
	r, err := h.qmp(c, "query-migrate-capabilities", nil)
	for _, e := range list(r) {
		on, _ := member(e, "state").(bool)
		c.Printf("%v: %s\n", member(e, "capability"), onOff(on))
	}
	return err
}

// migrateParameters are the parameters in the order in which they are shown,
// with their units.
var migrateParameters = []struct{ name, unit string }{
	{"announce-initial", " ms"}, {"announce-max", " ms"}, {"announce-rounds", ""}, {"announce-step", " ms"},
	{"compress-level", ""}, {"compress-threads", ""}, {"compress-wait-thread", ""}, {"decompress-threads", ""},
	{"throttle-trigger-threshold", ""}, {"cpu-throttle-initial", ""}, {"cpu-throttle-increment", ""},
	{"cpu-throttle-tailslow", ""}, {"max-cpu-throttle", ""}, {"tls-creds", "'"}, {"tls-hostname", "'"},
	{"max-bandwidth", " bytes/second"}, {"avail-switchover-bandwidth", " bytes/second"}, {"downtime-limit", " ms"},
	{"x-checkpoint-delay", " ms"}, {"block-incremental", ""}, {"multifd-channels", ""}, {"multifd-compression", ""},
	{"xbzrle-cache-size", " bytes"}, {"max-postcopy-bandwidth", ""}, {"tls-authz", "'"},
	{"x-vcpu-dirty-limit-period", " ms"}, {"vcpu-dirty-limit", " MB/s"}, {"mode", ""},
}

func (h *human) infoMigrateParameters(c *hmp.Call) error {
	r, err := h.qmp(c, "query-migrate-parameters", nil)
	if err != nil {
		return err
	}
	for _, p := range migrateParameters {
		val := member(r, p.name)
		if val == nil {
			continue
		}
		if on, ok := val.(bool); ok {
			val = onOff(on)
		}
		quote := strings.TrimLeft(p.unit, " abcdefghijklmnopqrstuvwxyzMB/")
		c.Printf("%s: %s%v%s\n", p.name, quote, val, p.unit)
	}
	return nil
}

func (h *human) migrateSetCapability(c *hmp.Call) error {
	_, err := h.qmp(c, "migrate-set-capabilities", map[string]any{"capabilities": []any{
		map[string]any{"capability": c.Args.Str("capability"), "state": c.Args.Bool("state")},
	}})
	return err
}
