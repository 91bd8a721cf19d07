package qtest

// schemaDifferences lists in which ways the schema differs from QEMU's on
// purpose.
var schemaDifferences = []struct{ difference, why string }{
	{`query-cpus-fast()[]: tag "", QEMU has "target"`, "the one variant is for s390x"},
}
