// Package vdpa is QEMU's generic vDPA device, "vhost-vdpa-device": a virtio
// device of any kind whose queues are processed by the kernel, or by hardware
// behind it, on the guest's own memory. This process sets it up and is then
// out of the way: the guest's notifications go to the kernel by ioeventfd,
// and only interrupts and the configuration space pass through here.
//
// Backend has one method per call of the kernel's vhost-vdpa interface
// (linux/vhost.h, linux/vhost_types.h). Open gives the kernel's; Recorder is
// one that keeps the kernel's rules, writes down what it was asked, and fails
// when it is told to.
//
// Device follows the driver and the run state through the states of state.go.
// It starts on a goroutine of its own, because pinning guest memory takes
// seconds; the vCPU that set DRIVER_OK waits for it, and nobody else.
// Stops, resets and unplugs make their calls without the VM lock too (task.go);
// who asked for one waits for its end.
//
// Every call can fail, and a device may say of itself that it works no more
// (change.go). It is then broken: undone as far as it lets itself be, told to
// the driver by DEVICE_NEEDS_RESET and a configuration interrupt, to clients by
// StateEvent and the properties x-state, x-error and x-stats, and to the log
// (failure.go). A reset takes it up again. TestFailureMatrix lists, with -v,
// who sees what of which call.
package vdpa
