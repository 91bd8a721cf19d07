// Package virtio is the part of a virtio device that does not depend on what
// the device does: its status, features, configuration space, queues and
// interrupts (virtio 1.2, chapter 2), and the transport that shows them to a
// guest as memory-mapped registers (section 4.2).
//
// A device type embeds State and implements Model. When it is realized it
// says with Plug what it offers, and from then on State keeps what the
// driver has written and calls the Model at the moments that matter: when
// the driver is ready, when it resets the device, when it touches the
// configuration space. A transport is the owner of the bus that the device
// sits on and implements Transport.
//
// Who processes the queues is the device's affair. Of one that this process
// serves itself, Local takes the queues: it turns what the driver has set up
// into a vring.Queue and calls the device when there may be something in it.
//
// Nothing that a guest writes is trusted. A move that the specification does
// not allow is counted, logged at debug level and otherwise ignored.
//
// Everything here is called with the VM lock held.
package virtio
