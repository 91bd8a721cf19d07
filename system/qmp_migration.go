package system

import (
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// migrationState is what clients have set for migrations. Guarded by the VM
// lock.
type migrationState struct {
	capabilities map[migrationCapability]bool
	parameters   MigrationParameters
}

type migrationStatus string

func (migrationStatus) QAPIName() string { return "MigrationStatus" }
func (migrationStatus) QAPIEnum() []string {
	return []string{"none", "setup", "cancelling", "cancelled", "active", "postcopy-active", "postcopy-paused",
		"postcopy-recover", "completed", "failed", "colo", "pre-switchover", "device", "wait-unplug"}
}

// MigrationInfo is the result of query-migrate. Members of a migration that is
// under way are left out: none ever is.
type MigrationInfo struct {
	Status  *migrationStatus `qapi:"status,optional"`
	Error   *string          `qapi:"error-desc,optional"`
	Blocked []string         `qapi:"blocked-reasons,optional"`
}

type migrateArgs struct {
	URI      *string            `qapi:"uri,optional"`
	Channels []MigrationChannel `qapi:"channels,optional"`
	Blk      *bool              `qapi:"blk,optional,deprecated"`
	Inc      *bool              `qapi:"inc,optional,deprecated"`
	Detach   *bool              `qapi:"detach,optional"`
	Resume   *bool              `qapi:"resume,optional"`
}

type migrateIncomingArgs struct {
	URI      *string            `qapi:"uri,optional"`
	Channels []MigrationChannel `qapi:"channels,optional"`
}

type migrateRecoverArgs struct {
	URI string `qapi:"uri"`
}

type migrateContinueArgs struct {
	State migrationStatus `qapi:"state"`
}

// registerMigration adds commands of QAPI module migration. VMs cannot be
// migrated, since a vDPA device cannot; clients may set capabilities and
// parameters, as they do before they try.
func (v *VM) registerMigration() {
	v.migration = migrationState{capabilities: map[migrationCapability]bool{}, parameters: defaultMigrationParameters()}
	register(v, "query-migrate", func(none) (MigrationInfo, error) {
		return MigrationInfo{Blocked: v.migrationBlockers()}, nil
	})
	register(v, "query-migrate-capabilities", func(none) ([]MigrationCapabilityStatus, error) {
		list := []MigrationCapabilityStatus{}
		for _, c := range migrationCapability("").QAPIEnum() {
			if c == "block" {
				continue // QEMU 8.2 is built without it where it counts
			}
			list = append(list, MigrationCapabilityStatus{migrationCapability(c), v.migration.capabilities[migrationCapability(c)]})
		}
		return list, nil
	})
	register(v, "migrate-set-capabilities", func(a migrateSetCapabilitiesArgs) (none, error) {
		return none{}, v.setMigrationCapabilities(a.Capabilities)
	})
	register(v, "query-migrate-parameters", func(none) (MigrationParameters, error) { return v.migration.parameters, nil })
	register(v, "migrate-set-parameters", func(a MigrateSetParameters) (none, error) {
		return none{}, v.migration.parameters.set(&a)
	})
	register(v, "migrate", func(a migrateArgs) (none, error) { return none{}, v.migrate(a) })
	register(v, "migrate_cancel", func(none) (none, error) { return none{}, nil })
	register(v, "migrate-continue", func(migrateContinueArgs) (none, error) {
		return none{}, qapi.Errorf("Migration not in expected state: none")
	})
	register(v, "migrate-start-postcopy", func(none) (none, error) {
		if !v.migration.capabilities["postcopy-ram"] {
			return none{}, qapi.Errorf("Enable postcopy with migrate_set_capability before the start of migration")
		}
		return none{}, qapi.Errorf("Postcopy must be started after migration has been started")
	})
	register(v, "migrate-incoming", func(migrateIncomingArgs) (none, error) {
		return none{}, qapi.Errorf("'-incoming' was not specified on the command line")
	})
	// These two run out of band: they look at nothing that changes.
	register(v, "migrate-pause", func(none) (none, error) {
		return none{}, qapi.Errorf("migrate-pause is currently only supported during postcopy-active or postcopy-recover state")
	}, qapi.AllowOOB())
	register(v, "migrate-recover", func(migrateRecoverArgs) (none, error) {
		return none{}, qapi.Errorf("Migrate recover can only be run when postcopy is paused.")
	}, qapi.AllowOOB())
}

// migrate refuses: first a wrong address, then for what stands in the way.
func (v *VM) migrate(a migrateArgs) error {
	if err := checkMigrationTarget(a.URI, a.Channels); err != nil {
		return err
	}
	if a.Resume != nil && *a.Resume {
		return qapi.Errorf("Cannot resume if there is no paused migration")
	}
	if name := v.unmigratable(); name != "" {
		return qapi.Errorf("State blocked by non-migratable device '%s'", name)
	}
	return qapi.Errorf("Migration is not supported")
}

// unmigratable names a device whose state cannot be moved, "" for none.
func (v *VM) unmigratable() string {
	name := ""
	v.eachDevice(func(d qdev.Device) {
		if c, ok := d.QOM().Type().ClassData().(*qdev.Class); ok && c.Unmigratable && name == "" {
			name = d.QOM().TypeName()
			if at := qdev.DevPath(d); at != "" {
				name = at + "/" + name
			}
		}
	})
	return name
}

// migrationBlockers lists why devices cannot be migrated, as query-migrate
// does.
func (v *VM) migrationBlockers() []string {
	var list []string
	v.eachDevice(func(d qdev.Device) {
		if c, ok := d.QOM().Type().ClassData().(*qdev.Class); ok && c.Unmigratable {
			list = append(list, "Migration disabled: vhost lacks VHOST_F_LOG_ALL feature.")
		}
	})
	return list
}

// eachDevice calls f for every realized device of the machine.
func (v *VM) eachDevice(f func(qdev.Device)) {
	var walk func(o qom.Object)
	walk = func(o qom.Object) {
		if d, ok := o.(qdev.Device); ok && d.Qdev().Realized() {
			f(d)
		}
		for _, c := range qom.Children(o) {
			walk(c)
		}
	}
	walk(v.machine)
}
