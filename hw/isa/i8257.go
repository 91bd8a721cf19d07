package isa

import (
	"fmt"

	"github.com/gqemu/gqemu/memory"
	"github.com/gqemu/gqemu/qdev"
	"github.com/gqemu/gqemu/qom"
)

// DMA is the "i8257" device, one of a PC's two Intel 8237A DMA controllers
// (datasheet 231466) with its page registers. No device here asks for a
// transfer, so that the controller is its registers.
type DMA struct {
	Device
	base, pageBase, pageHighBase, shift int32

	channels        [4]dmaChannel
	command, status uint8
	mask            uint8
	highNext        bool // the byte pointer flip-flop
	pages           [8]uint8
}

type dmaChannel struct {
	regs [2]uint16 // address and count
	mode uint8
}

// Commands that the controller does not know: memory to memory transfers,
// address hold, compressed timing, and senses of the request lines. Writes
// with one of them are ignored, as in QEMU.
const dmaCommandUnsupported = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40 | 0x80

// NewDMA puts a PC's two controllers on its ISA bus. Channels 4 to 7 are 16
// bits wide. place, if not nil, is called for each before it is realized.
func NewDMA(h *qdev.Host, bus *qdev.Bus, place func(qdev.Device) error) error {
	for _, c := range []struct{ base, page, shift int32 }{{0x00, 0x80, 0}, {0xc0, 0x88, 1}} {
		_, err := h.Create("i8257", bus, func(d qdev.Device) error {
			dma := d.(*DMA)
			dma.base, dma.pageBase, dma.pageHighBase, dma.shift = c.base, c.page, -1, c.shift
			if place == nil {
				return nil
			}
			return place(d)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Realize maps the ports.
func (d *DMA) Realize(*qdev.Host) error {
	if d.shift < 0 || d.shift > 1 || d.base < 0 || d.base > 0xffff || d.pageBase < 0 || d.pageBase > 0xffff-8 {
		return fmt.Errorf("i8257: base %d, page-base %d, dshift %d", d.base, d.pageBase, d.shift)
	}
	byteWide := memory.Access{ImplMax: 1}
	io := func(name string, size uint64, read func(uint64) uint8, write func(uint64, uint8)) *memory.Region {
		return memory.NewIO(name, size, memory.OpsFuncs{
			ReadFunc:  func(offset uint64, _ int) uint64 { return uint64(read(offset)) },
			WriteFunc: func(offset, v uint64, _ int) { write(offset, uint8(v)) },
		}, byteWide)
	}
	pages := func(first uint64, size uint64) *memory.Region {
		return io("dma-page", size,
			func(offset uint64) uint8 { return d.pages[first+offset] },
			func(offset uint64, v uint8) { d.pages[first+offset] = v })
	}
	width := uint64(8) << d.shift
	for _, p := range []struct {
		r    *memory.Region
		port int32
	}{
		{io("dma-chan", width, d.readChannel, d.writeChannel), d.base},
		{pages(1, 3), d.pageBase + 1},
		{pages(7, 1), d.pageBase + 7},
		{io("dma-cont", width, d.readControl, d.writeControl), d.base + int32(width)},
	} {
		if err := d.AddPorts(p.r, uint16(p.port)); err != nil {
			return err
		}
	}
	return nil
}

// Reset masks all channels.
func (d *DMA) Reset() { d.clear() }

func (d *DMA) clear() {
	d.highNext, d.command, d.status, d.mask = false, 0, 0, 0xf
}

// register finds what the port at an offset of the channels' block is.
func (d *DMA) register(offset uint64) *uint16 {
	n := offset >> d.shift & 7
	return &d.channels[n>>1].regs[n&1]
}

func (d *DMA) readChannel(offset uint64) uint8 {
	v := *d.register(offset)
	if d.highNext {
		v >>= 8
	}
	d.highNext = !d.highNext
	return uint8(v)
}

func (d *DMA) writeChannel(offset uint64, v uint8) {
	r := d.register(offset)
	if d.highNext {
		*r = *r&0x00ff | uint16(v)<<8
	} else {
		*r = *r&0xff00 | uint16(v)
	}
	d.highNext = !d.highNext
}

func (d *DMA) readControl(offset uint64) uint8 {
	switch offset >> d.shift & 7 {
	case 0:
		v := d.status
		d.status &= 0xf0 // what is complete is told once
		return v
	case 7:
		return d.mask
	}
	return 0
}

func (d *DMA) writeControl(offset uint64, v uint8) {
	channel := v & 3
	switch offset >> d.shift & 7 {
	case 0:
		if v&dmaCommandUnsupported == 0 {
			d.command = v
		}
	case 1:
		d.status &^= 1<<(channel+4) | 1<<channel
		d.status |= (v >> 2 & 1) << (channel + 4)
	case 2:
		d.mask &^= 1 << channel
		d.mask |= (v >> 2 & 1) << channel
	case 3:
		d.channels[channel].mode = v
	case 4:
		d.highNext = false
	case 5:
		d.clear()
	case 6:
		d.mask = 0
	case 7:
		d.mask = v & 0xf
	}
}

func registerDMA(r *qom.Registry) {
	r.Register(qom.Type{
		Name: "i8257", Parent: "isa-device",
		New:   func() qom.Object { return new(DMA) },
		Class: &qdev.Class{BusType: "ISA", NotUserCreatable: true, NotHotpluggable: true},
		Properties: []*qom.Property{
			qdev.Field("base", func(d *DMA) *int32 { return &d.base }, 0),
			qdev.Field("page-base", func(d *DMA) *int32 { return &d.pageBase }, 0x80),
			qdev.Field("pageh-base", func(d *DMA) *int32 { return &d.pageHighBase }, 0x480),
			qdev.Field("dshift", func(d *DMA) *int32 { return &d.shift }, 0),
		},
	})
}
