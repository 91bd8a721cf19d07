package qtest

// cliDifferences lists the recorded lines that are answered differently on
// purpose.
var cliDifferences = []cliDifference{
	{
		line:   "-M q35 -device hpet",
		stderr: "-device hpet: 'hpet' is not a valid device model name\n",
		rc:     "1",
		why:    "there is no HPET",
	},
	{
		line:   "-M microvm -netdev tap,id=n,ifname=nosuch0,script=no,downscript=no",
		stderr: "-netdev tap,id=n,ifname=nosuch0,script=no,downscript=no: network backend 'tap' is not compiled into this binary\n",
		rc:     "1",
		why:    "there are no network backends",
	},
	{
		line:   "qemu-system-x86_64 -nodefaults -display none -M q35 -accel ''",
		stdout: "Accelerators supported in QEMU binary:\nkvm\n",
		rc:     "0",
		why:    "there is no TCG",
	},
}

// needHost lists the recorded lines that start a machine with the accelerator
// that QEMU falls back to, TCG. Without it the answer depends on the host's KVM.
var needHost = []string{
	"qemu-system-x86_64 -nodefaults -display none -M ''",
	"qemu-system-x86_64 -nodefaults -display none -M microvm,kernel-irqchip=foo",
	"qemu-system-x86_64 -M microvm",
	"qemu-system-x86_64 ",
}
