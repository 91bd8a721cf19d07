package qtest

// schemaDifference says of which differences from QEMU's schema, by how they
// begin, why they are there.
type schemaDifference struct{ prefix, why string }

const (
	noBlock    = "there are no block devices, so these lists are empty"
	noNIC      = "network cards are the vDPA device's own"
	kindsThere = "only what can be made is listed"
	own        = "gqemu's own"

	noPanicInfo = "pvpanic tells nothing more"
)

// schemaDifferences lists in which ways the schema differs from QEMU's on
// purpose.
var schemaDifferences = []schemaDifference{
	{`query-cpus-fast()[]: tag "", QEMU has "target"`, "the one variant is for s390x"},
	{`query-cpus: no command of QEMU's`, "gone from QEMU, and still used by go-qemu"},
	{`query-memory-devices()[]: tag "", QEMU has "type"`, "there are no memory devices"},
	{`query-block()[]`, noBlock},
	{`query-blockstats()[]`, noBlock},
	{`query-block-jobs()[]`, noBlock},
	{`query-named-block-nodes()[]`, noBlock},
	{`query-rx-filter()[]`, noNIC},
	{`netdev_add{`, noNIC},
	{`chardev-add.backend.type: no values `, kindsThere},
	{`object-add.qom-type: no values `, kindsThere},
	{`object-add.qom-type: value vdpa-sim-`, own},
	{`query-migrate(): no member `, "there is no migration"},
	{`__io.github.gqemu_VDPA_DEVICE_STATE: no event of QEMU's`, own},
	{`GUEST_PANICKED: no member info`, noPanicInfo},
	{`GUEST_CRASHLOADED: no member info`, noPanicInfo},
}
