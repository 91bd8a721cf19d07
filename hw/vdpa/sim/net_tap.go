package sim

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/gqemu/gqemu/internal/errno"
)

const (
	tunDevice = "/dev/net/tun"
	// tapHeader is the size of the header before each frame of a tap's:
	// struct virtio_net_hdr_mrg_rxbuf.
	tapHeader = netHeader + 2
	maxIfName = 15
)

// tapWire is a tap interface of the host's, with a descriptor for each queue
// pair and a goroutine that reads it.
type tapWire struct {
	to     station
	ifname string
	queues []tapQueue
	tasks  sync.WaitGroup
	gone   atomic.Bool // the host has deleted the interface
}

// tapQueue is one queue of a tap.
type tapQueue struct {
	file *os.File
	mu   sync.RWMutex // guards fd, against the end
	fd   int          // -1 once closed
}

// newTapWire opens the interface, or makes one. An empty name lets the kernel
// choose one.
func newTapWire(to station, ifname string, pairs int) (*tapWire, error) {
	if len(ifname) > maxIfName {
		return nil, fmt.Errorf("vdpa-sim-net: ifname must be at most %d bytes", maxIfName)
	}
	w := &tapWire{to: to, ifname: ifname, queues: make([]tapQueue, pairs)}
	if ifname == "" {
		w.ifname = "tap%d"
	}
	for i := range w.queues {
		fd, err := w.open(pairs > 1)
		if err != nil {
			for j := range i {
				w.queues[j].file.Close()
			}
			return nil, err
		}
		w.queues[i].fd, w.queues[i].file = fd, os.NewFile(uintptr(fd), w.ifname)
	}
	w.setOffloads(0)
	for i := range w.queues {
		w.tasks.Go(func() { w.receive(i) })
	}
	return w, nil
}

// open opens one queue of the interface.
func (w *tapWire) open(multi bool) (int, error) {
	fd, err := unix.Open(tunDevice, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("could not open %s: %s", tunDevice, errno.Text(err))
	}
	fail := func(err error) (int, error) {
		unix.Close(fd)
		return -1, fmt.Errorf("could not configure %s (%s): %s", tunDevice, w.ifname, errno.Text(err))
	}
	req, err := unix.NewIfreq(w.ifname)
	if err != nil {
		return fail(err)
	}
	flags := uint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
	if multi {
		flags |= unix.IFF_MULTI_QUEUE
	}
	req.SetUint16(flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		return fail(err)
	}
	w.ifname = req.Name()
	if err := unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, tapHeader); err != nil {
		return fail(err)
	}
	return fd, nil
}

func (w *tapWire) receive(pair int) {
	q := &w.queues[pair]
	buf := make([]byte, tapHeader+maxFrame+1)
	var f frame
	for {
		n, err := q.file.Read(buf)
		if err != nil {
			w.gone.Store(true)
			w.to.linkChanged()
			return
		}
		if n >= tapHeader+minFrame && n <= tapHeader+maxFrame {
			f = frame{head: [netHeader]byte(buf), data: buf[tapHeader:n]}
			w.to.arrive(pair, &f)
		}
	}
}

// send is part of wire. What the interface has no room for is lost, as is
// everything while it is down.
func (w *tapWire) send(pair int, f *frame) bool {
	var head [tapHeader]byte
	copy(head[:], f.head[:])
	q := &w.queues[pair]
	q.mu.RLock()
	defer q.mu.RUnlock()
	for q.fd >= 0 {
		n, err := unix.Writev(q.fd, [][]byte{head[:], f.data})
		if err != unix.EINTR {
			return err == nil && n == tapHeader+len(f.data)
		}
	}
	return false
}

func (w *tapWire) connected() bool  { return !w.gone.Load() }
func (w *tapWire) offloads() uint64 { return sendOffloads | receiveOffloads }

// setOffloads says what may come. What is under way already may still have
// more; the card looks at that.
func (w *tapWire) setOffloads(features uint64) {
	flags := 0
	for bit, flag := range map[int]int{
		netGuestCsum: unix.TUN_F_CSUM, netGuestTSO4: unix.TUN_F_TSO4, netGuestTSO6: unix.TUN_F_TSO6, netGuestECN: unix.TUN_F_TSO_ECN,
	} {
		if features>>bit&1 != 0 {
			flags |= flag
		}
	}
	q := &w.queues[0] // it is the interface's
	q.mu.RLock()
	defer q.mu.RUnlock()
	if q.fd >= 0 {
		// A kernel that cannot is one that sends nothing of the kind.
		_ = unix.IoctlSetInt(q.fd, unix.TUNSETOFFLOAD, flags)
	}
}

func (w *tapWire) close() {
	for i := range w.queues {
		q := &w.queues[i]
		q.mu.Lock()
		q.fd = -1
		q.mu.Unlock()
		q.file.Close()
	}
	w.tasks.Wait()
}
