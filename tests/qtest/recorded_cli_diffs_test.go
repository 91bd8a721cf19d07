package qtest

// cliDifferences lists the recorded lines that are answered differently on
// purpose.
var cliDifferences = []cliDifference{
	{
		line:   "qemu-system-x86_64 -nodefaults -display none -M ''",
		stderr: "No machine specified, and there is no default\nUse -machine help to list supported machines\n",
		rc:     "1",
		why:    "QEMU's default machine is a PC, which does not exist here",
	},
	{
		line:   "-M microvm -device pci-device",
		stderr: "-device pci-device: 'pci-device' is not a valid device model name\n",
		rc:     "1",
		why:    "there is no PCI",
	},
}
