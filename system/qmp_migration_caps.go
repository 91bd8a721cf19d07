package system

import (
	"maps"

	"github.com/gqemu/gqemu/qapi"
)

type migrationCapability string

func (migrationCapability) QAPIName() string { return "MigrationCapability" }
func (migrationCapability) QAPIEnum() []string {
	return []string{"xbzrle", "rdma-pin-all", "auto-converge", "zero-blocks", "compress", "events", "postcopy-ram",
		"x-colo", "release-ram", "block", "return-path", "pause-before-switchover", "multifd", "dirty-bitmaps",
		"postcopy-blocktime", "late-block-activate", "x-ignore-shared", "validate-uuid", "background-snapshot",
		"zero-copy-send", "postcopy-preempt", "switchover-ack", "dirty-limit"}
}

// QAPIValueFeatures marks the values that may change.
func (migrationCapability) QAPIValueFeatures() map[string][]string {
	return map[string][]string{"compress": {"deprecated"}, "block": {"deprecated"}, "x-colo": {"unstable"},
		"x-ignore-shared": {"unstable"}}
}

// MigrationCapabilityStatus is one capability and whether it is on.
type MigrationCapabilityStatus struct {
	Capability migrationCapability `qapi:"capability"`
	State      bool                `qapi:"state"`
}

type migrateSetCapabilitiesArgs struct {
	Capabilities []MigrationCapabilityStatus `qapi:"capabilities"`
}

// notWithSnapshot lists what cannot be on together with background-snapshot,
// in the order in which QEMU looks.
var notWithSnapshot = []migrationCapability{"postcopy-ram", "dirty-bitmaps", "postcopy-blocktime", "late-block-activate",
	"return-path", "multifd", "pause-before-switchover", "auto-converge", "release-ram", "rdma-pin-all", "compress",
	"xbzrle", "x-colo", "validate-uuid", "zero-copy-send"}

// setMigrationCapabilities changes all that are named, or none.
func (v *VM) setMigrationCapabilities(list []MigrationCapabilityStatus) error {
	c := maps.Clone(v.migration.capabilities)
	for _, s := range list {
		c[s.Capability] = s.State
	}
	if err := v.checkCapabilities(c); err != nil {
		return err
	}
	v.migration.capabilities = c
	return nil
}

// checkCapabilities refuses those that do not go together, with QEMU's words.
func (v *VM) checkCapabilities(c map[migrationCapability]bool) error {
	switch {
	case c["block"]:
		return qapi.Errorf("QEMU compiled without old-style (blk/-b, inc/-i) block migration")
	case c["postcopy-ram"] && c["x-ignore-shared"]:
		return qapi.Errorf("Postcopy is not compatible with ignore-shared")
	case c["postcopy-ram"] && c["multifd"]:
		return qapi.Errorf("Postcopy is not yet compatible with multifd")
	}
	if c["background-snapshot"] {
		for _, other := range notWithSnapshot {
			if c[other] {
				return qapi.Errorf("Background-snapshot is not compatible with %s", other)
			}
		}
	}
	p := &v.migration.parameters
	switch {
	case c["zero-copy-send"] && (!c["multifd"] || c["compress"] || *p.MultifdCompression != "none" || *p.TLSCreds != ""):
		return qapi.Errorf("Zero copy only available for non-compressed non-TLS multifd migration")
	case c["postcopy-preempt"] && !c["postcopy-ram"]:
		return qapi.Errorf("Postcopy preempt requires postcopy-ram")
	case c["postcopy-preempt"] && c["compress"]:
		return qapi.Errorf("Postcopy preempt not compatible with compress")
	case c["multifd"] && c["compress"]:
		return qapi.Errorf("Multifd is not compatible with compress")
	case c["switchover-ack"] && !c["return-path"]:
		return qapi.Errorf("Capability 'switchover-ack' requires capability 'return-path'")
	case c["dirty-limit"] && c["auto-converge"]:
		return qapi.Errorf("dirty-limit conflicts with auto-converge either of then available currently")
	case c["dirty-limit"]:
		return qapi.Errorf("dirty-limit requires KVM with accelerator property 'dirty-ring-size' set")
	}
	return nil
}
