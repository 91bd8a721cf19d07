package system

import (
	"fmt"

	"github.com/gqemu/gqemu/hw/machine"
	"github.com/gqemu/gqemu/qapi"
	"github.com/gqemu/gqemu/qom"
)

// CPUInfoFast is one entry of query-cpus-fast.
type CPUInfoFast struct {
	CPUIndex int64        `qapi:"cpu-index"`
	QOMPath  string       `qapi:"qom-path"`
	ThreadID int64        `qapi:"thread-id"`
	Props    *CPUProps    `qapi:"props,optional"`
	Target   SysEmuTarget `qapi:"target"`
}

// QAPIName is the name of the type in the QMP schema.
func (CPUInfoFast) QAPIName() string { return "CpuInfoFast" }

// CPUProps places a CPU in the topology.
type CPUProps struct {
	NodeID    *int64 `qapi:"node-id,optional"`
	DrawerID  *int64 `qapi:"drawer-id,optional"`
	BookID    *int64 `qapi:"book-id,optional"`
	SocketID  *int64 `qapi:"socket-id,optional"`
	DieID     *int64 `qapi:"die-id,optional"`
	ClusterID *int64 `qapi:"cluster-id,optional"`
	CoreID    *int64 `qapi:"core-id,optional"`
	ThreadID  *int64 `qapi:"thread-id,optional"`
}

// QAPIName is the name of the type in the QMP schema.
func (CPUProps) QAPIName() string { return "CpuInstanceProperties" }

// SysEmuTarget is a guest architecture.
type SysEmuTarget string

// QAPIName is the name of the type in the QMP schema.
func (SysEmuTarget) QAPIName() string { return "SysEmuTarget" }

// QAPIEnum lists the values in the QMP schema.
func (SysEmuTarget) QAPIEnum() []string {
	return []string{"aarch64", "alpha", "arm", "avr", "cris", "hppa", "i386", "loongarch64", "m68k", "microblaze",
		"microblazeel", "mips", "mips64", "mips64el", "mipsel", "nios2", "or1k", "ppc", "ppc64", "riscv32", "riscv64",
		"rx", "s390x", "sh4", "sh4eb", "sparc", "sparc64", "tricore", "x86_64", "xtensa", "xtensaeb"}
}

const target SysEmuTarget = "x86_64"

// MachineInfo is one entry of query-machines.
type MachineInfo struct {
	Name             string  `qapi:"name"`
	Alias            *string `qapi:"alias,optional"`
	IsDefault        *bool   `qapi:"is-default,optional"`
	CPUMax           int64   `qapi:"cpu-max"`
	HotpluggableCPUs bool    `qapi:"hotpluggable-cpus"`
	NUMAMemSupported bool    `qapi:"numa-mem-supported"`
	Deprecated       bool    `qapi:"deprecated"`
	DefaultCPUType   *string `qapi:"default-cpu-type,optional"`
	DefaultRAMID     *string `qapi:"default-ram-id,optional"`
	ACPI             bool    `qapi:"acpi"`
}

// QAPIName is the name of the type in the QMP schema.
func (MachineInfo) QAPIName() string { return "MachineInfo" }

// registerMachine adds commands of QAPI module machine.
func (v *VM) registerMachine() {
	register(v, "query-cpus-fast", func(none) ([]CPUInfoFast, error) {
		out := []CPUInfoFast{}
		dies := v.class.Dies && v.machine.Common().SMP.Dies > 1
		for _, c := range v.machine.CPUs() {
			p := &CPUProps{SocketID: ptr(int64(c.Socket)), CoreID: ptr(int64(c.Core)), ThreadID: ptr(int64(c.Thread))}
			if dies {
				p.DieID = ptr(int64(c.Die))
			}
			out = append(out, CPUInfoFast{
				CPUIndex: int64(c.VCPU.Config().Index), QOMPath: qom.Path(c.Object),
				ThreadID: int64(c.VCPU.ThreadID()), Props: p, Target: target,
			})
		}
		return out, nil
	})
	register(v, "query-machines", func(none) ([]MachineInfo, error) {
		out := []MachineInfo{}
		for _, t := range v.env.Types.List("machine", false) {
			c := machine.ClassOf(t)
			if c == nil {
				continue
			}
			var isDefault *bool
			if c.Default {
				isDefault = ptr(true)
			}
			out = append(out, MachineInfo{
				Name: c.Name, Alias: optional(c.Alias), IsDefault: isDefault, CPUMax: int64(c.MaxCPUs), HotpluggableCPUs: c.HotplugCPUs,
				DefaultCPUType: optional(c.DefaultCPU), DefaultRAMID: optional(c.RAMID), ACPI: c.ACPI,
			})
		}
		return out, nil
	})
	register(v, "query-target", func(none) (TargetInfo, error) { return TargetInfo{target}, nil })
	register(v, "query-kvm", func(none) (KVMInfo, error) {
		return KVMInfo{Enabled: v.acc.Name() == "kvm", Present: v.accelerator("kvm") != nil}, nil
	})
	register(v, "query-uuid", func(none) (UUIDInfo, error) {
		return UUIDInfo{formatUUID(v.cfg.UUID)}, nil
	}, qapi.AllowPreconfig())
}

// TargetInfo is the result of query-target.
type TargetInfo struct {
	Arch SysEmuTarget `qapi:"arch"`
}

// QAPIName is the name of the type in the QMP schema.
func (TargetInfo) QAPIName() string { return "TargetInfo" }

// KVMInfo is the result of query-kvm.
type KVMInfo struct {
	Enabled bool `qapi:"enabled"`
	Present bool `qapi:"present"`
}

// QAPIName is the name of the type in the QMP schema.
func (KVMInfo) QAPIName() string { return "KvmInfo" }

// UUIDInfo is the result of query-uuid.
type UUIDInfo struct {
	UUID string `qapi:"UUID"`
}

// QAPIName is the name of the type in the QMP schema.
func (UUIDInfo) QAPIName() string { return "UuidInfo" }

func formatUUID(u [16]byte) string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[0:4], u[4:6], u[6:8], u[8:10], u[10:16])
}

func ptr[T any](v T) *T { return &v }

// optional is nil for an empty string.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
