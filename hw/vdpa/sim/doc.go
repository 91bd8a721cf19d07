// Package sim is vDPA devices inside the process: a block device on a file or
// on memory, and a network device whose cable leads back to it, to another, to
// another process or to the host. They make vhost-vdpa-device usable where there is neither hardware nor kernel module:
//
//	-object vdpa-sim-blk,id=d0,size=64M
//	-device vhost-vdpa-device,vhostdev=/objects/d0
//
// An object is opened as a character device /dev/vhost-vdpa-N is, by one user
// at a time, and gives a vdpa.Backend. That answers each call as the kernel's
// simulators vdpa_sim_blk and vdpa_sim_net do, errnos included (Linux 6.1),
// translates addresses by its own IOTLB, waits for kicks on the eventfds it is
// given, signals those of its interrupts, and processes each queue, a split
// or packed ring, on a goroutine of its own, never under the VM lock.
//
// A disk's request that would wait for its medium, a read of what is not in the
// page cache, a flush, a discard, goes on without its queue's goroutine, up to 32
// of them side by side, so requests may end in another order than they came;
// with VIRTIO_F_IN_ORDER they do not. A flush covers every write that was done
// before it came.
//
// # Networks
//
// The property mode of vdpa-sim-net says where its cable leads:
//
//   - loopback: it receives what it sends, as the kernel's vdpa_sim_net does.
//   - pair: to the vdpa-sim-net whose id peer= names, and which names this one. A
//     peer that is not there takes the link with it; one that no driver has
//     started drops what comes.
//   - socket: to another process, by a unix socket of type SOCK_SEQPACKET at
//     path=, one Ethernet frame per message and nothing else. With server=on it
//     listens, replacing a socket that was there, and has one client at a time;
//     else it connects, and does so again when the server has gone. The link is
//     there while the peer is.
//   - tap: to the host's interface ifname=, which is made if it does not exist,
//     with a descriptor for each queue pair. Checksums and TCP segmentation are
//     left to the host and to the driver as they have agreed (VIRTIO_NET_F_CSUM,
//     HOST_TSO4, HOST_TSO6, HOST_ECN and the same of GUEST); the other modes
//     offer none of it.
//
// Nothing waits for a receiver. A frame that has come by pair, socket or tap and
// finds no buffer stays where it is for up to 5 ms, with those behind it, and is
// then dropped (rx-dropped), as are those behind it until there are buffers;
// loopback drops at once, as in the kernel. What the cable does not take is
// dropped by the sender (tx-dropped). The guest's MTU is kept to, and so is what
// it has asked for by the control queue (rx-filtered): promiscuous mode and the
// other modes of receiving, tables of up to 64 addresses of a kind, and all
// beyond that, its own address. With queue-pairs= above 1 there is multiqueue:
// a flow is received on the pair that it is sent on. A stopped VM's card goes on
// as it was; a reset by the driver ends all of that but the address.
//
// Without mac= a device has the first address from 52:54:00:12:34:56 on that no
// other of the process has. Two processes each begin there: give one a mac=.
//
// A client may change a disk's size (not a file's) and whether a network
// device has a link with qom-set; the driver is told by a configuration
// interrupt.
//
// To try what becomes of a guest and its manager when a device breaks, x-fail
// makes calls fail (see fail.go), also of a device in use, and x-needs-reset
// makes the device itself ask to be reset:
//
//	qom-set path=/objects/d0 property=x-fail value=VHOST_SET_VRING_ADDR:EIO:1
//	qom-set path=/objects/d0 property=x-fail value=*:ENODEV
//	qom-set path=/objects/d0 property=x-needs-reset value=true
//
// It differs from the kernel's simulators where those fall short:
//
//   - A kick that comes before DRIVER_OK, before the queue is enabled or while
//     the device is suspended is not lost: a queue is looked at whenever it
//     begins to be served. The kernel drops the kick.
//   - Mapping pins nothing, so RLIMIT_MEMLOCK does not matter.
//   - An invalidation of a part of a mapping drops all of that mapping, not
//     what happens to be physically contiguous.
//   - Mappings live until they are invalidated or the device is closed; the
//     kernel's device forgets them at a reset, though its interface does not.
//   - Features: indirect descriptors, the event index, packed rings and in-order
//     use are offered too. vhost-vdpa-device offers its guest packed rings with
//     packed=on only.
//   - A request of an unknown type ends as unsupported; the kernel's ends as an
//     I/O error.
//   - A network device has a link status, modes of receiving, tables of addresses
//     and multiqueue. It compares all six bytes of an address, the kernel's those
//     before the first zero; a command of a wrong length is refused as a whole.
//     The control queue has group 1 where VIRTIO_NET_F_MQ has it, behind the last
//     pair.
//   - Requests may be larger, up to 126 MiB, and a discard may have several
//     ranges.
//
// A driver that breaks the rules of a ring stops that queue until it is reset,
// as in the kernel; beyond it, it is told so (virtio 1.2 section 2.1.2): the
// status has DEVICE_NEEDS_RESET, and a configuration interrupt says so. Calls
// that change what the device works on wait until the requests under way in all
// queues are done, flushes included.
package sim
