package pci

// Advanced error reporting (PCI Express 3.0 section 7.10), and what of it
// exists here: the registers. Nothing reports errors.
const (
	aerUncStatus  = 0x04
	aerUncMask    = 0x08
	aerUncSever   = 0x0c
	aerCorStatus  = 0x10
	aerCorMask    = 0x14
	aerControl    = 0x18
	aerRootCmd    = 0x2c
	aerRootStatus = 0x30
	aerLen        = 0x48
	aerVersion    = 2

	uncErrors      = 0x03fff030
	uncMaskDefault = 1<<22 | 1<<25 // internal errors and TLP prefixes
	uncSevere      = 0x00462030
	corErrors      = 0xf1c1
	corMaskDefault = 0xe000
	aerCanECRC     = 1<<5 | 1<<7
	aerMultiHeader = 1 << 9
	aerEnables     = 1<<6 | 1<<8 | 1<<10
	rootErrEnables = 7
	rootErrEvents  = 0x7f
)

// addAER adds the capability; root tells that the function collects the errors
// of those below.
func (f *Function) addAER(at int, root bool) error {
	if err := f.AddExtCapability(ExtCapAER, aerVersion, at, aerLen); err != nil {
		return err
	}
	f.clear32(at+aerUncStatus, uncErrors)
	if f.flag(flagErrUncMask) {
		f.set32(at+aerUncMask, uncMaskDefault)
	}
	f.allow32(at+aerUncMask, uncErrors)
	f.set32(at+aerUncSever, uncSevere)
	f.allow32(at+aerUncSever, uncErrors)
	f.clear32(at+aerCorStatus, corErrors)
	f.set32(at+aerCorMask, corMaskDefault)
	f.allow32(at+aerCorMask, corErrors)
	f.set32(at+aerControl, aerCanECRC|aerMultiHeader)
	f.allow32(at+aerControl, aerEnables)
	if root {
		f.allow32(at+aerRootCmd, rootErrEnables)
		f.clear32(at+aerRootStatus, rootErrEvents)
	}
	return nil
}

// Access control services (PCI Express 3.0 section 7.16).
const (
	acsLen      = 8
	acsVersion  = 1
	acsServices = 0x5f // all but egress control
)

func (f *Function) addACS(at int) error {
	if err := f.AddExtCapability(ExtCapACS, acsVersion, at, acsLen); err != nil {
		return err
	}
	f.set16(at+4, acsServices)
	f.allow16(at+6, acsServices)
	return nil
}
