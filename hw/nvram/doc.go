// Package nvram holds fw_cfg, through which a machine hands data to firmware
// and guests.
package nvram

import "github.com/gqemu/gqemu/qom"

// RegisterTypes adds fw_cfg.
func RegisterTypes(r *qom.Registry) { registerFwCfg(r) }
