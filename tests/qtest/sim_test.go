package qtest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The simulator is driven through vhost-vdpa-device, as a guest does it.

// simDisk is a driver of virtio-blk.
type simDisk struct {
	*VirtioMMIO
	ring *Vring
}

// Where simDisk has a request's parts.
const (
	simHeader = 0x300000
	simStatus = 0x300100
	simData   = 0x301000
)

// simBlk starts a machine with a block device made of props.
func simBlk(t *testing.T, props string, args ...string) *Machine {
	t.Helper()
	return Start(t, append([]string{"-nodefaults", "-M", "microvm", "-object", "vdpa-sim-blk,id=d0," + props,
		"-device", "vhost-vdpa-device,vhostdev=/objects/d0"}, args...)...)
}

// startDisk takes the device to DRIVER_OK.
func startDisk(m *Machine) *simDisk {
	m.t.Helper()
	d := &simDisk{VirtioMMIO: slot(m, 23)}
	if !d.Init(FeatureVersion1 | 1<<9 | 1<<13 | 1<<14) {
		m.t.Fatal("the features are refused")
	}
	d.ring = d.Queue(0, 16, &Alloc{0x200000})
	if st := d.DriverOK(); st&(StatusNeedsReset|StatusDriverOK) != StatusDriverOK {
		m.t.Fatalf("status %#x", st)
	}
	return d
}

// submit makes a request and notifies the device.
func (d *simDisk) submit(typ uint32, sector uint64, data ...Buffer) {
	h := binary.LittleEndian.AppendUint32(nil, typ)
	h = binary.LittleEndian.AppendUint64(append(h, 0, 0, 0, 0), sector)
	d.M.Write(simHeader, h)
	d.M.Writeb(simStatus, 0xff)
	chain := append([]Buffer{{Addr: simHeader, Len: 16}}, data...)
	d.ring.Add(append(chain, Buffer{Addr: simStatus, Len: 1, Write: true})...)
	d.Kick(0)
}

// do makes a request and checks its status and how much was written.
func (d *simDisk) do(what string, status byte, written uint32, typ uint32, sector uint64, data ...Buffer) {
	d.M.t.Helper()
	d.submit(typ, sector, data...)
	if _, n := d.ring.Wait(); n != written {
		d.M.t.Errorf("%s: used length %d, want %d", what, n, written)
	}
	if s := d.M.Readb(simStatus); s != status {
		d.M.t.Errorf("%s: status %d, want %d", what, s, status)
	}
}

func (d *simDisk) write(sector uint64, data []byte) {
	d.M.t.Helper()
	d.M.Write(simData, data)
	d.do("write", 0, 1, 1, sector, Buffer{Addr: simData, Len: uint32(len(data))})
}

func (d *simDisk) check(sector uint64, want []byte) {
	d.M.t.Helper()
	d.M.Memset(simData, len(want), 0xee)
	d.do("read", 0, uint32(len(want))+1, 0, sector, Buffer{Addr: simData, Len: uint32(len(want)), Write: true})
	if got := d.M.Read(simData, len(want)); !bytes.Equal(got, want) {
		d.M.t.Errorf("sector %d reads %.32q, want %.32q", sector, got, want)
	}
}

func simPattern(i, n int) []byte {
	return bytes.Repeat([]byte(fmt.Sprintf("sector %6d, ", i)), n/15+1)[:n]
}

// number reads a property of an object.
func simCount(m *Machine, path, name string) (n uint64) {
	m.t.Helper()
	m.QMP.Must("qom-get", map[string]any{"path": path, "property": name}, &n)
	return n
}

// TestSimDiscovery: what a driver finds is the simulator's: device id,
// features, queue size, capacity.
func TestSimDiscovery(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=8M,queue-size=64", args...)
		v := slot(m, 23)
		if id := v.In(VDeviceID); id != 2 {
			t.Errorf("device id %d", id)
		}
		want := uint64(1<<1 | 1<<2 | 1<<6 | 1<<9 | 1<<10 | 1<<12 | 1<<13 | 1<<14 | 1<<28 | 1<<29)
		if v.In(VVersion) == 1 {
			want |= 1 << 27 // any layout, which modern drivers have anyway
		} else {
			want |= FeatureVersion1 | FeatureInOrder
		}
		if f := v.DeviceFeatures(); f != want {
			t.Errorf("features %#x, want %#x", f, want)
		}
		v.Out(VQueueSel, 0)
		if n := v.In(VQueueNumMax); n != 64 {
			t.Errorf("queue of %d", n)
		}
		if n := binary.LittleEndian.Uint64(v.Config(0, 8)); n != 16384 {
			t.Errorf("capacity %d", n)
		}
		if n := simCount(m, "/objects/d0", "capacity"); n != 16384 {
			t.Errorf("property capacity %d", n)
		}
	})
}

// TestSimBlock: requests of all kinds, and what is wrong with them as their
// status.
func TestSimBlock(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=2M,serial=disk-7", args...)
		d := startDisk(m)
		m.InterceptIn("/machine/unattached/device[3]") // the second IOAPIC
		for i := range 40 {                            // more than the ring has
			d.write(uint64(i), simPattern(i, 512))
		}
		for i := range 40 {
			d.check(uint64(i), simPattern(i, 512))
		}
		m.WaitIRQ(23, true)
		if st := d.Interrupts(); st != 1 {
			t.Errorf("interrupt status %d", st)
		}
		m.WaitIRQ(23, false)
		d.write(4088, simPattern(9, 4096))
		d.check(4095, simPattern(9, 4096)[3584:])
		sector := Buffer{Addr: simData, Len: 512, Write: true}
		d.do("read past the end", 1, 1, 0, 4096, sector)
		d.do("write past the end", 1, 1, 1, 4096, Buffer{Addr: simData, Len: 512})
		d.do("read of half a sector", 1, 1, 0, 0, Buffer{Addr: simData, Len: 256, Write: true})
		d.do("read of nothing", 0, 1, 0, 0)
		d.do("flush", 0, 1, 4, 0)
		d.do("unknown", 2, 1, 77, 0)
		d.do("id", 0, 21, 8, 0, Buffer{Addr: simData, Len: 20, Write: true})
		if id := m.Read(simData, 20); string(bytes.TrimRight(id, "\x00")) != "disk-7" {
			t.Errorf("id %q", id)
		}
		zeroes := func(typ uint32, sector uint64, n, flags uint32) {
			b := binary.LittleEndian.AppendUint64(nil, sector)
			b = binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, n), flags)
			m.Write(simData, b)
			d.do("zeroes", 0, 1, typ, 0, Buffer{Addr: simData, Len: 16})
		}
		zeroes(13, 4089, 2, 0)
		d.check(4088, append(append(simPattern(9, 4096)[:512], make([]byte, 1024)...), simPattern(9, 4096)[1536:]...))
		zeroes(11, 0, 40, 0)
		d.ring.Add(Buffer{Addr: simHeader, Len: 15}, Buffer{Addr: simStatus, Len: 1, Write: true})
		d.Kick(0)
		if _, n := d.ring.Wait(); n != 1 || m.Readb(simStatus) != 1 {
			t.Errorf("half a header: used length %d, status %d", n, m.Readb(simStatus))
		}
		for name, want := range map[string]uint64{
			"write-requests": 41, "flush-requests": 1, "discard-requests": 1, "write-zeroes-requests": 1,
			"failed-requests": 5, "written-bytes": 40*512 + 4096, "broken-rings": 0,
		} {
			if n := simCount(m, "/objects/d0", name); n != want {
				t.Errorf("%s is %d, want %d", name, n, want)
			}
		}
	})
}

// TestSimStopCont: the VM may stop at any moment of a request. Each is done
// once, in its place.
func TestSimStopCont(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=2M", args...)
		d := startDisk(m)
		for i := range 30 {
			m.Write(simData, simPattern(i, 512))
			if i%2 == 0 {
				m.QMP.Must("stop", nil, nil)
			}
			d.submit(1, uint64(i), Buffer{Addr: simData, Len: 512})
			if i%2 == 1 {
				m.QMP.Must("stop", nil, nil)
			} else if _, _, ok := d.ring.Take(); ok {
				t.Fatal("a request is done while the VM stands")
			}
			m.QMP.Must("cont", nil, nil)
			if _, n := d.ring.Wait(); n != 1 {
				t.Fatalf("used length %d", n)
			}
			if s := m.Readb(simStatus); s != 0 {
				t.Fatalf("status %d", s)
			}
		}
		for i := range 30 {
			d.check(uint64(i), simPattern(i, 512))
		}
		if n := simCount(m, "/objects/d0", "write-requests"); n != 30 {
			t.Errorf("%d writes, want 30", n)
		}
	})
}

// TestSimReset: the driver and the machine may reset the device at any moment,
// and it starts anew with the same data; no descriptor is left.
func TestSimReset(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=2M", args...)
		d := startDisk(m)
		d.write(7, simPattern(7, 512))
		cycle := func(i int) {
			d.submit(0, 7, Buffer{Addr: simData, Len: 512, Write: true})
			if i%2 == 0 {
				m.QMP.Must("system_reset", nil, nil)
				m.QMP.WaitEvent("RESET")
			} else {
				d.Reset()
			}
			d = startDisk(m)
			d.check(7, simPattern(7, 512))
		}
		cycle(0)
		fds := fmt.Sprint(m.FDs())
		for i := range 10 {
			cycle(i)
		}
		if now := fmt.Sprint(m.FDs()); now != fds {
			t.Errorf("descriptors %v, were %v", now, fds)
		}
	})
}

// TestSimBrokenRing: a driver that breaks its ring is not served any more, the
// VM lives, and after a reset the device works.
func TestSimBrokenRing(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=2M", args...)
		for i, damage := range []func(d *simDisk){
			func(d *simDisk) { m.Writew(d.ring.Avail+2, 1000) },
			func(d *simDisk) { m.Writew(d.ring.Avail+4, 99); m.Writew(d.ring.Avail+2, 1) },
			func(d *simDisk) { m.Write(d.ring.Desc, []byte{8: 1, 12: 1}); m.Writew(d.ring.Avail+2, 1) },
			func(d *simDisk) {
				m.Writeq(d.ring.Desc, 1<<60)
				m.Writel(d.ring.Desc+8, 512)
				m.Writew(d.ring.Avail+2, 1)
			},
		} {
			d := startDisk(m)
			damage(d)
			d.Kick(0)
			m.Eventually("the ring to be given up", func() bool { return simCount(m, "/objects/d0", "broken-rings") == uint64(i)+1 })
		}
		d := startDisk(m)
		d.write(1, simPattern(1, 512))
		d.check(1, simPattern(1, 512))
	})
}

// TestSimFile: the data is in the file, survives the process, and the file is
// one process's at a time.
func TestSimFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(ShortDir(t), "disk.img")
	if err := os.WriteFile(file, make([]byte, 1<<20+100), 0o600); err != nil {
		t.Fatal(err)
	}
	m := simBlk(t, "path="+file)
	d := startDisk(m)
	if n := binary.LittleEndian.Uint64(d.Config(0, 8)); n != 2048 {
		t.Errorf("capacity %d", n)
	}
	d.write(5, simPattern(5, 512))
	d.do("flush", 0, 1, 4, 0)
	if b, err := os.ReadFile(file); err != nil || !bytes.Equal(b[5*512:6*512], simPattern(5, 512)) {
		t.Errorf("the file has %.20q, %v", b[5*512:], err)
	}
	second := Spawn(t, Config{Args: Args("-nodefaults -display none -M microvm -accel qtest -object vdpa-sim-blk,id=d0,path=" + file)})
	if code := second.Wait(); code != 1 || !strings.HasSuffix(second.Stderr(),
		": Failed to get \"write\" lock\nIs another process using the image ["+file+"]?\n") {
		t.Errorf("exit status %d, %q", code, second.Stderr())
	}
	m.Quit()
	m = simBlk(t, "readonly=on,path="+file)
	d = startDisk(m)
	if f := d.DeviceFeatures(); f&(1<<5) == 0 || f&(1<<13|1<<14) != 0 {
		t.Errorf("features %#x of a read-only device", f)
	}
	d.check(5, simPattern(5, 512))
	d.do("write", 1, 1, 1, 5, Buffer{Addr: simData, Len: 512})
	d.check(5, simPattern(5, 512))
}

// TestSimErrors: what cannot be made ends the start with one clear line.
func TestSimErrors(t *testing.T) {
	t.Parallel()
	const device = " -device vhost-vdpa-device,vhostdev=/objects/"
	for line, want := range map[string]string{
		"-object vdpa-sim-blk,id=d0":                                         ": vdpa-sim-blk: one of size and path is needed",
		"-object vdpa-sim-blk,id=d0,size=1M,path=x":                          ": vdpa-sim-blk: size and path exclude each other",
		"-object vdpa-sim-blk,id=d0,size=1000":                               ": vdpa-sim-blk: size must be a multiple of 512, at most 4 EiB",
		"-object vdpa-sim-blk,id=d0,size=0":                                  ": property 'size' of vdpa-sim-blk doesn't take value '0'",
		"-object vdpa-sim-blk,id=d0,path=/nosuch":                            ": Could not open '/nosuch': No such file or directory",
		"-object vdpa-sim-blk,id=d0,path=/":                                  ": Could not open '/': Is a directory",
		"-object vdpa-sim-blk,id=d0,path=/dev/null":                          ": '/dev/null' is neither a regular file nor a block device",
		"-object vdpa-sim-blk,id=d0,size=1M,serial=123456789012345678901":    ": vdpa-sim-blk: serial must be at most 20 bytes",
		"-object vdpa-sim-blk,id=d0,size=1M,queue-size=3":                    ": vdpa-sim-blk: queue-size must be a power of two, at most 32768",
		"-object vdpa-sim-blk,id=d0,size=1M,num-queues=0":                    ": vdpa-sim-blk: num-queues must be 1 to 256",
		"-object vdpa-sim-blk,id=d0,size=1M,num-queues=257":                  ": vdpa-sim-blk: num-queues must be 1 to 256",
		"-object vdpa-sim-net,id=n0,mac=1:2:3":                               ": Property 'vdpa-sim-net.mac' doesn't take value '1:2:3'",
		"-object vdpa-sim-net,id=n0,mtu=1":                                   ": vdpa-sim-net: mtu must be 68 to 65535",
		"-object vdpa-sim,id=d0":                                             ": Parameter 'qom-type' does not accept value 'vdpa-sim'",
		device + "nosuch":                                                    "Could not open '/objects/nosuch': there is no such object",
		"-object memory-backend-ram,size=1M,id=m0" + device + "m0":           "Could not open '/objects/m0': an object of type 'memory-backend-ram' is not a vDPA device",
		"-object vdpa-sim-blk,id=d0,size=1M" + device + "d0" + device + "d0": "Could not open '/objects/d0': Device or resource busy",
	} {
		p := Spawn(t, Config{Args: Args("-nodefaults -display none -M microvm -accel qtest " + line)})
		if code := p.Wait(); code != 1 || !strings.HasSuffix(p.Stderr(), want+"\n") || strings.Count(p.Stderr(), "\n") != 1 {
			t.Errorf("%s: exit status %d, %q, want %q", line, code, p.Stderr(), want)
		}
	}
}

// TestSimObject: an object comes and goes by QMP, and while it is in use it
// stays as it is.
func TestSimObject(t *testing.T) {
	t.Parallel()
	m := simBlk(t, "size=1M")
	refused := func(want, command string, args map[string]any) {
		t.Helper()
		if err := m.QMP.Execute(command, args, nil); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s %v: %v, want %s", command, args, err, want)
		}
	}
	var used bool
	m.QMP.Must("qom-get", map[string]any{"path": "/objects/d0", "property": "in-use"}, &used)
	if !used {
		t.Error("it is not in use")
	}
	refused("object 'd0' is in use, can not be deleted", "object-del", map[string]any{"id": "d0"})
	refused("cannot change property 'serial' of vdpa-sim-blk", "qom-set",
		map[string]any{"path": "/objects/d0", "property": "serial", "value": "y"})
	refused("vdpa-sim-blk: size must be a multiple of 512, at most 4 EiB", "qom-set",
		map[string]any{"path": "/objects/d0", "property": "size", "value": 1000})
	refused("vdpa-sim-blk: one of size and path is needed", "object-add", map[string]any{"qom-type": "vdpa-sim-blk", "id": "d1"})
	add := func(typ, id string, more map[string]any) {
		args := map[string]any{"qom-type": typ, "id": id}
		for k, v := range more {
			args[k] = v
		}
		m.QMP.Must("object-add", args, nil)
	}
	cycle := func() {
		add("vdpa-sim-blk", "d1", map[string]any{"size": 1 << 30, "serial": "x"})
		add("vdpa-sim-net", "n1", map[string]any{"mac": "52:54:00:00:00:01", "queue-size": 64})
		if n := simCount(m, "/objects/d1", "capacity"); n != 1<<21 {
			t.Errorf("capacity %d", n)
		}
		for _, id := range []string{"d1", "n1"} {
			m.QMP.Must("object-del", map[string]any{"id": id}, nil)
		}
	}
	cycle()
	fds := fmt.Sprint(m.FDs())
	for range 50 {
		cycle()
	}
	if now := fmt.Sprint(m.FDs()); now != fds {
		t.Errorf("descriptors %v, were %v", now, fds)
	}
}

// TestSimConfigChange: a disk that grows and a cable that is pulled out are told
// to the driver by a configuration interrupt.
func TestSimConfigChange(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := simBlk(t, "size=1M", append(args, "-object", "vdpa-sim-net,id=n0",
			"-device", "vhost-vdpa-device,vhostdev=/objects/n0")...)
		d := startDisk(m)
		d.do("read past the end", 1, 1, 0, 2048, Buffer{Addr: simData, Len: 512, Write: true})
		d.Interrupts()
		m.QMP.Must("qom-set", map[string]any{"path": "/objects/d0", "property": "size", "value": 2 << 20}, nil)
		m.Eventually("a configuration interrupt", func() bool { return d.In(VInterruptStatus)&2 != 0 })
		if n := binary.LittleEndian.Uint64(d.Config(0, 8)); n != 4096 {
			t.Errorf("capacity %d", n)
		}
		d.write(4095, simPattern(1, 512))
		d.check(4095, simPattern(1, 512))

		n := slot(m, 22)
		n.Init(FeatureVersion1 | 1<<5 | 1<<16)
		n.Queue(0, 16, &Alloc{0x600000})
		n.DriverOK()
		for _, up := range []byte{0, 1} {
			m.QMP.Must("qom-set", map[string]any{"path": "/objects/n0", "property": "link", "value": up == 1}, nil)
			m.Eventually("a configuration interrupt", func() bool { return n.In(VInterruptStatus)&2 != 0 })
			if b := n.Config(6, 1); b[0] != up {
				t.Errorf("link status %d, want %d", b[0], up)
			}
			n.Interrupts()
		}
	})
}

// TestSimNet: what is sent to everybody or to the device itself comes back,
// with a header of the device's own; the control queue changes the address.
func TestSimNet(t *testing.T) {
	t.Parallel()
	versions(t, func(t *testing.T, args ...string) {
		m := Start(t, append([]string{"-nodefaults", "-M", "microvm", "-object", "vdpa-sim-net,id=n0,mac=52:54:00:aa:bb:cc,mtu=9000",
			"-device", "vhost-vdpa-device,vhostdev=/objects/n0"}, args...)...)
		v := slot(m, 23)
		if id := v.In(VDeviceID); id != 1 {
			t.Fatalf("device id %d", id)
		}
		v.Init(FeatureVersion1 | 1<<5 | 1<<17 | 1<<23)
		a := &Alloc{0x200000}
		rx, tx, ctrl := v.Queue(0, 16, a), v.Queue(1, 16, a), v.Queue(2, 16, a)
		v.DriverOK()
		mac := []byte{0x52, 0x54, 0, 0xaa, 0xbb, 0xcc}
		if b := v.Config(0, 12); !bytes.Equal(b, append(bytes.Clone(mac), 1, 0, 0, 0, 0x28, 0x23)) {
			t.Errorf("configuration %x", b)
		}
		header := 12
		if v.Legacy {
			header = 10
		}
		const out, in, ack = 0x400000, 0x410000, 0x420000
		send := func(to []byte, n int) []byte {
			packet := append(bytes.Repeat([]byte{0xff}, header), to...)
			packet = append(packet, simPattern(n, n)...)
			m.Write(out, packet)
			tx.Add(Buffer{Addr: out, Len: uint32(header)}, Buffer{Addr: out + uint64(header), Len: uint32(len(packet) - header)})
			v.Kick(1)
			tx.Wait()
			return packet[header:]
		}
		post := func(n uint32) {
			rx.Add(Buffer{Addr: in, Len: n, Write: true})
			v.Kick(0)
		}
		receive := func(want []byte) {
			t.Helper()
			_, n := rx.Wait()
			got := m.Read(in, int(n))
			if int(n) != header+len(want) || !bytes.Equal(got[header:], want) {
				t.Errorf("%d bytes come back, %d went out", n, header+len(want))
			}
			if h := got[:10]; !bytes.Equal(h, make([]byte, 10)) || !v.Legacy && (got[10] != 1 || got[11] != 0) {
				t.Errorf("header %x", got[:header])
			}
		}
		everybody := bytes.Repeat([]byte{0xff}, 6)
		for i := range 40 {
			post(2048)
			receive(send([][]byte{mac, everybody, {0x33, 0x33, 0, 0, 0, 1}}[i%3], 60+i*30))
		}
		post(9100)
		send([]byte{2, 0, 0, 0, 0, 1}, 100)
		send(mac, 9100) // larger than the buffer
		receive(send(mac, 9000))
		send(mac, 100) // no buffer
		if _, _, ok := rx.Take(); ok {
			t.Error("something was received")
		}
		for name, want := range map[string]uint64{"tx-packets": 44, "rx-packets": 41, "rx-filtered": 1, "rx-dropped": 2} {
			if n := simCount(m, "/objects/n0", name); n != want {
				t.Errorf("%s is %d, want %d", name, n, want)
			}
		}
		command := func(b ...byte) byte {
			m.Write(out, b)
			m.Writeb(ack, 0xee)
			ctrl.Add(Buffer{Addr: out, Len: 2}, Buffer{Addr: out + 2, Len: uint32(len(b) - 2)}, Buffer{Addr: ack, Len: 1, Write: true})
			v.Kick(2)
			if _, n := ctrl.Wait(); n != 1 {
				t.Errorf("used length %d", n)
			}
			return m.Readb(ack)
		}
		if s := command(1, 1, 2, 0, 0, 0, 0, 9); s != 0 {
			t.Errorf("MAC_ADDR_SET: %d", s)
		}
		if b := v.Config(0, 6); !bytes.Equal(b, []byte{2, 0, 0, 0, 0, 9}) {
			t.Errorf("address %x", b)
		}
		for _, b := range [][]byte{{0, 0, 1}, {4, 0, 1, 0}, {1, 1, 2, 0, 0}, {1, 9, 2, 0, 0, 0, 0, 9}} {
			if s := command(b...); s != 1 {
				t.Errorf("command %x: %d", b, s)
			}
		}
	})
}
