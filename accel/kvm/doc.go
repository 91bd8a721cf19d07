// Package kvm runs guest code with Linux's KVM: it implements the accel
// interfaces on /dev/kvm for x86-64.
//
// A VM has one goroutine per vCPU, each locked to a thread for its life,
// that alternates between the KVM_RUN ioctl and the Handler. Three locks are
// involved, always taken in this order:
//
//   - the VM lock, the system's own, passed to New. It is held when devices
//     work; a vCPU goroutine takes it only to ask the PIC for a vector.
//   - VM.mu guards what the vCPUs are to do: run, pause, end.
//   - VCPU.runMu is held by whoever talks to that vCPU's KVM state: by its
//     goroutine during KVM_RUN, by Reset, SetBoot and Registers otherwise.
//
// To interrupt a vCPU one states the wish under VM.mu, stores
// immediate_exit=1, and sends its thread SIGURG, which the Go runtime uses
// for itself and takes as spurious. The vCPU clears immediate_exit before it
// looks for wishes, so none is lost.
package kvm
