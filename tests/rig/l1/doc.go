// Package l1 is what runs inside L1, the machine of package rig: a kit to start
// a VMM with a Linux guest and to look at both from outside and inside, and, as
// tests, the scenarios that gqemu must hold on real KVM and real vhost-vdpa.
//
// The guest is Debian's kernel with the rig's initramfs, whose init takes
// commands on the serial console ([VMM.Exec]). A VMM that is started with
// [Start] ends with its test; what fails says what the guest last printed.
//
// The VMM is the one that GQEMU_BINARY names. Debian's QEMU will do as well, to
// prove the scenarios themselves and to compare with: it gets a file where
// gqemu gets vDPA, and what only gqemu can do is skipped.
package l1
