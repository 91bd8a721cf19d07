package system

import (
	"fmt"

	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// HotpluggableCPU is one entry of query-hotpluggable-cpus: a place in the
// topology, and the CPU in it if there is one.
type HotpluggableCPU struct {
	Type    string   `qapi:"type"`
	VCPUs   int64    `qapi:"vcpus-count"`
	Props   CPUProps `qapi:"props"`
	QOMPath *string  `qapi:"qom-path,optional"`
}

// CPUInfo is one entry of query-cpus, which QEMU had until 6.0 and go-qemu
// still asks for.
type CPUInfo struct {
	CPU      int64    `qapi:"CPU"`
	Current  bool     `qapi:"current"`
	Halted   bool     `qapi:"halted"`
	QOMPath  string   `qapi:"qom_path"`
	ThreadID int64    `qapi:"thread_id"`
	Arch     cpusArch `qapi:"arch"`
	PC       int64    `qapi:"pc"`
}

type cpusArch string

func (cpusArch) QAPIName() string   { return "CpuInfoArch" }
func (cpusArch) QAPIEnum() []string { return []string{"x86", "other"} }

// CurrentMachineParams is the result of query-current-machine.
type CurrentMachineParams struct {
	WakeupSuspend bool `qapi:"wakeup-suspend-support"`
}

// registerCPUs adds the commands about the machine and its CPUs.
func (v *VM) registerCPUs() {
	register(v, "query-hotpluggable-cpus", func(none) ([]HotpluggableCPU, error) { return v.hotpluggableCPUs() },
		qapi.AllowPreconfig())
	register(v, "query-cpus", func(none) ([]CPUInfo, error) { return v.oldCPUs(), nil }, qapi.Deprecated())
	register(v, "query-current-machine", func(none) (CurrentMachineParams, error) {
		return CurrentMachineParams{WakeupSuspend: v.class.WakeupSuspend}, nil
	})
	register(v, "system_wakeup", func(none) (none, error) {
		if !v.class.WakeupSuspend {
			return none{}, qapi.Errorf("wake-up from suspend is not supported by this guest")
		}
		return none{}, qapi.Errorf("Unable to wake up: guest is not in suspended state")
	})
	register(v, "inject-nmi", func(none) (none, error) { return none{}, v.injectNMI() })
	register(v, "query-vm-generation-id", func(none) (GuidInfo, error) {
		return GuidInfo{}, qapi.Errorf("VM Generation ID device not found")
	})
}

// GuidInfo is the result of query-vm-generation-id.
type GuidInfo struct {
	GUID string `qapi:"guid"`
}

// hotpluggableCPUs lists the places for CPUs, last first as QEMU does.
func (v *VM) hotpluggableCPUs() ([]HotpluggableCPU, error) {
	if !v.class.HotplugCPUs {
		return nil, qapi.Errorf("machine does not support hot-plugging CPUs")
	}
	smp := v.machine.Common().SMP
	threads, cores, dies := max(smp.Threads, 1), max(smp.Cores, 1), max(smp.Dies, 1)
	cpus := v.machine.CPUs()
	model := v.cpuType()
	list := []HotpluggableCPU{}
	for i := smp.MaxCPUs - 1; i >= 0; i-- {
		h := HotpluggableCPU{Type: model, VCPUs: 1, Props: CPUProps{
			ThreadID: ptr(int64(i % threads)),
			CoreID:   ptr(int64(i / threads % cores)),
			SocketID: ptr(int64(i / threads / cores / dies)),
		}}
		if dies > 1 {
			h.Props.DieID = ptr(int64(i / threads / cores % dies))
		}
		if i < len(cpus) {
			h.QOMPath = ptr(qom.Path(cpus[i].Object))
		}
		list = append(list, h)
	}
	return list, nil
}

// cpuType is the name of the type of the machine's CPUs.
func (v *VM) cpuType() string {
	if cpus := v.machine.CPUs(); len(cpus) > 0 {
		return cpus[0].Object.QOM().TypeName()
	}
	return v.class.DefaultCPU
}

// programCounter is a vCPU that can tell where it is.
type programCounter interface{ PC() (uint64, error) }

func (v *VM) oldCPUs() []CPUInfo {
	list := []CPUInfo{}
	for i, c := range v.machine.CPUs() {
		info := CPUInfo{
			CPU: int64(c.VCPU.Config().Index), Current: i == 0, QOMPath: qom.Path(c.Object),
			ThreadID: int64(c.VCPU.ThreadID()), Arch: "x86",
		}
		if p, ok := c.VCPU.(programCounter); ok && !v.run.Running() {
			// Asking a running CPU would stop it.
			if pc, err := p.PC(); err == nil {
				info.PC = int64(pc)
			}
		}
		list = append(list, info)
	}
	return list
}

// nmiInjector is a vCPU that takes a non-maskable interrupt.
type nmiInjector interface{ InjectNMI() error }

// injectNMI interrupts all CPUs of a machine that has any.
func (v *VM) injectNMI() error {
	cpus := v.machine.CPUs()
	if len(cpus) == 0 {
		return qapi.Errorf("this feature or command is not currently supported")
	}
	return v.paused(func() error {
		for _, c := range cpus {
			if n, ok := c.VCPU.(nmiInjector); ok {
				if err := n.InjectNMI(); err != nil {
					return fmt.Errorf("inject-nmi: CPU %d: %w", c.VCPU.Config().Index, err)
				}
			}
		}
		return nil
	})
}
