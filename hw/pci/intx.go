package pci

// SetINTx drives the interrupt line of the function's pin.
func (f *Function) SetINTx(level bool) {
	f.intx = level
	f.driveINTx()
}

// driveINTx carries the line's level to the root bus, unless the guest has
// disabled the pin (PCI 3.0 section 6.2.2).
func (f *Function) driveINTx() {
	status := f.u16(regStatus) &^ statusIntx
	if f.intx {
		status |= statusIntx
	}
	f.set16(regStatus, status)
	level := f.intx && f.u16(regCommand)&cmdIntxDisable == 0
	if level == f.driven || f.u8(regIntPin) == 0 {
		return
	}
	f.driven = level
	pin, devfn, b := int(f.u8(regIntPin))-1, f.devfn, f.bus
	for !b.Root() {
		pin = swizzle(devfn, pin)
		devfn, b = b.bridge.devfn, b.bridge.bus
	}
	n := b.route(devfn, pin)
	if n < 0 || n >= len(b.counts) {
		return
	}
	was := b.counts[n] > 0
	if level {
		b.counts[n]++
	} else {
		b.counts[n]--
	}
	if now := b.counts[n] > 0; now != was {
		b.line(n, now)
	}
}

// swizzle is the pin of a bridge that a pin behind it comes out of (PCI-to-PCI
// Bridge Architecture 1.2 section 9.1).
func swizzle(devfn, pin int) int { return (devfn>>3 + pin) % pins }

// Reroute tells a root bus that route answers differently from now on. before
// is called first, after the lines are down, and changes the route.
func (b *Bus) Reroute(change func()) {
	var raised []*Function
	var visit func(x *Bus)
	visit = func(x *Bus) {
		for _, f := range x.devices {
			if f == nil {
				continue
			}
			if f.driven {
				raised = append(raised, f)
				level := f.intx
				f.intx = false
				f.driveINTx()
				f.intx = level
			}
			if f.bridge != nil {
				visit(f.bridge.bus)
			}
		}
	}
	visit(b)
	change()
	for _, f := range raised {
		f.driveINTx()
	}
}

// SetPin declares the function's interrupt pin: 1 is INTA, 0 none.
func (f *Function) SetPin(pin uint8) { f.set8(regIntPin, pin) }
