package kvm

// Translate is the guest physical address behind a virtual one, as the vCPU's
// page tables have it now; ok is false where nothing is mapped. Only while
// paused.
func (v *VCPU) Translate(addr uint64) (phys uint64, ok bool) {
	v.runMu.Lock()
	defer v.runMu.Unlock()
	t := translation{linear: addr}
	if v.fd < 0 {
		return 0, false
	}
	if err := set(v, "KVM_TRANSLATE", kvmTranslate, &t); err != nil {
		return 0, false // as if nothing were mapped
	}
	return t.physical, t.valid != 0
}
