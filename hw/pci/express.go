package pci

// Registers of the PCI Express capability, from its start (PCI Express 3.0
// section 7.8).
const (
	expFlags   = 0x02
	expDevCap  = 0x04
	expDevCtl  = 0x08
	expDevSta  = 0x0a
	expLnkCap  = 0x0c
	expLnkCtl  = 0x10
	expLnkSta  = 0x12
	expSltCap  = 0x14
	expSltCtl  = 0x18
	expSltSta  = 0x1a
	expRootCtl = 0x1c
	expDevCap2 = 0x24
	expDevCtl2 = 0x28
	expLnkCap2 = 0x2c
	expLnkCtl2 = 0x30
	expLen     = 0x3c
)

// Bits of them.
const (
	expVersion2       = 2
	expTypeShift      = 4
	expSlotBit        = 1 << 8
	devCapRBER        = 1 << 15
	devErrors         = 0xf // enables in device control, and status
	lnkCapASPML0s     = 1 << 10
	lnkCapActive      = 1 << 20 // data link layer active is reported
	lnkCapBandwidth   = 1 << 21
	lnkCapPortShift   = 24
	lnkWidthShift     = 4
	lnkStaActive      = 1 << 13
	rootCtlErrors     = 7
	devCap2EFF        = 1 << 20
	devCap2EETLP      = 1 << 21
	devCap2ARI        = 1 << 5
	devCtl2ARI        = 1 << 5
	devCtl2EETLPBlock = 1 << 15
)

// PortType is the kind of a PCI Express function.
type PortType uint16

// The kinds that exist here.
const (
	Endpoint           PortType = 0
	RootPort           PortType = 4
	IntegratedEndpoint PortType = 9
)

// express is a function's PCI Express capability.
type express struct {
	f    *Function
	at   int
	slot *slot // of a port with one, else nil
	// speed is 1 for 2.5 GT/s to 4 for 16; width counts lanes.
	speed, width uint16
}

// AddExpress adds the capability, version 2, with a link of 2.5 GT/s and one
// lane.
func (f *Function) AddExpress(at int, typ PortType, port uint8) error {
	at, err := f.AddCapability(CapPCIe, at, expLen)
	if err != nil {
		return err
	}
	f.exp = &express{f: f, at: at, speed: 1, width: 1}
	f.set16(at+expFlags, expVersion2|uint16(typ)<<expTypeShift)
	f.set32(at+expDevCap, devCapRBER)
	f.set32(at+expLnkCap, uint32(port)<<lnkCapPortShift|lnkCapASPML0s|1<<lnkWidthShift|1)
	f.set16(at+expLnkSta, 1<<lnkWidthShift|1)
	f.set32(at+expDevCap2, devCap2EFF|devCap2EETLP)
	f.allow16(at+expDevCtl2, devCtl2EETLPBlock)
	if f.Express() && f.flag(flagExtCap) {
		f.clearExtended()
	}
	return nil
}

// AllowErrorReports makes the bits of device control writable that enable
// error messages.
func (f *Function) AllowErrorReports() {
	f.allow16(f.exp.at+expDevCtl, devErrors)
	f.clear16(f.exp.at+expDevSta, devErrors)
}

// setLink sets what the port's link can do.
func (e *express) setLink(speed, width uint16) {
	e.speed, e.width = speed, width
	if speed == 1 && width == 1 {
		return
	}
	f := e.f
	cap := f.u32(e.at+expLnkCap) &^ 0x3ff
	f.set32(e.at+expLnkCap, cap|lnkCapActive|lnkCapBandwidth|uint32(width)<<lnkWidthShift|uint32(speed))
	f.set16(e.at+expLnkSta, width<<lnkWidthShift|speed)
	if speed > 1 {
		f.set32(e.at+expLnkCap2, 1<<(speed+1)-2)
		f.set16(e.at+expLnkCtl2, speed)
	}
}

// linkUp follows a device that comes to the other end of a port's link, or
// goes: nil.
func (e *express) linkUp(d *Function) {
	f := e.f
	speed, width := e.speed, e.width
	sta := uint16(0)
	if d != nil {
		if d.exp != nil {
			speed, width = min(speed, d.exp.speed), min(width, d.exp.width)
		}
		if f.u32(e.at+expLnkCap)&lnkCapActive != 0 && f.flag(flagLinkActive) {
			sta = lnkStaActive
		}
	}
	f.set16(e.at+expLnkSta, sta|width<<lnkWidthShift|speed)
}

// forwardARI lets a port address functions beyond 7.
func (e *express) forwardARI() {
	e.f.set32(e.at+expDevCap2, e.f.u32(e.at+expDevCap2)|devCap2ARI)
	e.f.allow16(e.at+expDevCtl2, devCtl2EETLPBlock|devCtl2ARI)
}

func (e *express) wrote(at int, v uint32, size int) {
	if e.slot != nil {
		e.slot.wrote(at, v, size)
	}
}

func (e *express) reset() {
	f := e.f
	f.set16(e.at+expDevCtl, 0)
	f.set16(e.at+expDevSta, 0)
	f.set16(e.at+expDevCtl2, 0)
	f.set16(e.at+expRootCtl, 0)
	if e.slot != nil {
		e.slot.reset()
	}
}
