// Package rig is a machine with real KVM and the kernel's real vhost-vdpa
// driver, built out of Debian packages for hosts that have neither.
//
// Three levels: the host; L1, Debian's kernel under QEMU's software emulation
// of a CPU with AMD SVM, in which KVM and vhost-vdpa work; and L2, a guest
// under KVM inside L1, run by gqemu or, to compare, by Debian's QEMU.
//
// [Build] prepares everything in the checkout's cache: kernel, vDPA modules
// (Debian's kernel is built without them), and the initramfs of both machines.
// [Boot] starts an L1 and [L1.Run] runs commands inside it, in the host's own
// userland: L1 sees the host's file system, read-only with a layer in memory on
// top, and a results folder that it can really write to. The command rig does
// the same from a shell. What is to be checked inside L1 is package l1's.
package rig
