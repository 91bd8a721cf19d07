package qdev

// InterceptIn lets a test see the levels that reach any input pin of the
// device, after the device has. It gives a function that ends this, and whether
// the device has pins at all, outputs included. Called with the VM lock held,
// as are watch and stop.
func (s *State) InterceptIn(watch func(n int, level bool)) (stop func(), ok bool) {
	for _, pins := range s.gpioIn {
		for _, p := range pins {
			p.watch = watch
		}
	}
	stop = func() {
		for _, pins := range s.gpioIn {
			for _, p := range pins {
				p.watch = nil
			}
		}
	}
	return stop, len(s.gpioIn)+len(s.gpioOut) > 0
}

// InterceptOut lets a test see what the device drives its outputs of one name
// to, after those that they lead to have. It gives a function that ends this,
// and whether the device has such outputs. Called with the VM lock held, as are
// watch and stop.
func (s *State) InterceptOut(name string, watch func(n int, level bool)) (stop func(), ok bool) {
	var tapped []*gpioOut
	for _, g := range s.gpioOut {
		if g.name != name || g.tap != nil {
			continue
		}
		n := len(tapped)
		g.to = *g.slot
		g.tap = &IRQ{n: n, set: func(_ int, level bool) {
			g.to.Set(level)
			watch(n, level)
		}}
		*g.slot = g.tap
		tapped = append(tapped, g)
	}
	stop = func() {
		for _, g := range tapped {
			*g.slot, g.tap, g.to = g.to, nil, nil
		}
	}
	return stop, len(tapped) > 0
}
