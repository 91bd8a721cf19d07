package system

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/monitor/hmp"
)

func (h *human) setCPU(c *hmp.Call) error {
	n := c.Args.Int("index")
	if n < 0 || n >= int64(len(h.v.machine.CPUs())) {
		c.Print("invalid CPU index\n")
		return nil
	}
	h.cpu = int(n)
	return nil
}

// vcpu is the CPU that commands are about, nil on a machine without.
func (h *human) vcpu() accel.VCPU {
	if cpus := h.v.machine.CPUs(); h.cpu < len(cpus) {
		return cpus[h.cpu].VCPU
	}
	return nil
}

func (h *human) infoCPUs(c *hmp.Call) error {
	for i, cpu := range h.v.machine.CPUs() {
		mark := ' '
		if i == h.cpu {
			mark = '*'
		}
		c.Printf("%c CPU #%d: thread_id=%d\n", mark, i, cpu.VCPU.ThreadID())
	}
	return nil
}

func (h *human) infoHotpluggableCPUs(c *hmp.Call) error {
	r, err := h.qmp(c, "query-hotpluggable-cpus", nil)
	if err != nil {
		return err
	}
	c.Print("Hotpluggable CPUs:\n")
	for _, e := range list(r) {
		c.Printf("  type: \"%v\"\n  vcpus_count: \"%v\"\n", member(e, "type"), member(e, "vcpus-count"))
		if p := member(e, "qom-path"); p != nil {
			c.Printf("  qom_path: \"%v\"\n", p)
		}
		c.Print("  CPUInstance Properties:\n")
		props := member(e, "props")
		for _, name := range []string{"node-id", "socket-id", "die-id", "cluster-id", "core-id", "thread-id"} {
			if id := member(props, name); id != nil {
				c.Printf("    %s: \"%v\"\n", name, id)
			}
		}
	}
	return nil
}

func (h *human) infoRegisters(c *hmp.Call) error {
	cpus := h.v.machine.CPUs()
	first, last := h.cpu, h.cpu
	switch {
	case c.Args.Bool("cpustate_all"):
		first, last = 0, len(cpus)-1
	case c.Args.Has("vcpu"):
		n := c.Args.Int("vcpu")
		if n < 0 || n >= int64(len(cpus)) {
			c.Printf("CPU#%d not available\n", n)
			return nil
		}
		first, last = int(n), int(n)
	case len(cpus) == 0:
		c.Print("No CPU available\n")
		return nil
	}
	return h.v.paused(func() error {
		for i := first; i <= last; i++ {
			text, err := registers(cpus[i].VCPU)
			if err != nil {
				return err
			}
			c.Printf("\nCPU#%d\n%s", i, text)
		}
		return nil
	})
}

// paused runs look while no vCPU runs. The VM lock is let go until they have
// come to rest.
func (v *VM) paused(look func() error) error {
	if !v.begin() { // also for a VM that is stopping: its vCPUs may still run
		return nil
	}
	defer v.end()
	if !v.run.Running() {
		return look()
	}
	v.pauseVCPUs()
	err := look()
	if v.run.Running() {
		v.resumeVCPUs()
	}
	return err
}

// registers is what a vCPU holds, in the layout of info registers. Under an
// accelerator that runs no code it is what a processor holds after power-on.
func registers(c accel.VCPU) (string, error) {
	text, err := c.Registers()
	if err != nil || text != "" {
		return text, err
	}
	return powerOn(c.Config()), nil
}

// powerOn is the state of a processor after power-on (Intel SDM volume 3, table
// 10-1). Those but the first wait for a start-up message.
func powerOn(c accel.CPUConfig) string {
	halted, signature := 0, uint32(0)
	if c.Index > 0 {
		halted = 1
	}
	for _, leaf := range c.CPUID {
		if leaf.Function == 1 {
			signature = leaf.EAX
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "EAX=00000000 EBX=00000000 ECX=00000000 EDX=%08x\n", signature)
	b.WriteString("ESI=00000000 EDI=00000000 EBP=00000000 ESP=00000000\n")
	fmt.Fprintf(&b, "EIP=0000fff0 EFL=00000002 [-------] CPL=0 II=0 A20=1 SMM=0 HLT=%d\n", halted)
	for _, s := range []string{"ES =0000 00000000", "CS =f000 ffff0000", "SS =0000 00000000",
		"DS =0000 00000000", "FS =0000 00000000", "GS =0000 00000000"} {
		rights := "00009300"
		if s[0] == 'C' {
			rights = "00009b00"
		}
		fmt.Fprintf(&b, "%s 0000ffff %s\n", s, rights)
	}
	b.WriteString("LDT=0000 00000000 0000ffff 00008200\nTR =0000 00000000 0000ffff 00008b00\n")
	b.WriteString("GDT=     00000000 0000ffff\nIDT=     00000000 0000ffff\n")
	b.WriteString("CR0=60000010 CR2=00000000 CR3=00000000 CR4=00000000\n")
	zero := strings.Repeat("0", 16)
	for i := range 4 {
		fmt.Fprintf(&b, "DR%d=%s ", i, zero)
	}
	fmt.Fprintf(&b, "\nDR6=00000000ffff0ff0 DR7=0000000000000400\nEFER=%s\n", zero)
	b.WriteString("FCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\n")
	for i := 0; i < 8; i += 2 {
		fmt.Fprintf(&b, "FPR%d=%s 0000 FPR%d=%s 0000\n", i, zero, i+1, zero)
	}
	for i := 0; i < 8; i += 2 {
		fmt.Fprintf(&b, "XMM%02d=%s %s XMM%02d=%s %s\n", i, zero, zero, i+1, zero, zero)
	}
	return b.String()
}

// registerNames are the registers of expressions that a dump has under another
// name; those of segments are found by their lines.
var registerNames = map[string]string{
	"sp": "esp", "fp": "ebp", "eflags": "efl",
}

var (
	plainRegister   = regexp.MustCompile(`\b([A-Z][A-Z0-9]{1,2}) ?=([0-9a-f]+)`)
	segmentRegister = regexp.MustCompile(`(?m)^([CDEFGS]S) *=([0-9a-f]+) ([0-9a-f]+) ([0-9a-f]+)`)
)

// register is the value of $name in expressions, where QEMU has that name.
func (h *human) register(name string) (n int64, ok bool) {
	cpu := h.vcpu()
	if cpu == nil {
		return 0, false
	}
	var text string
	err := h.v.paused(func() (err error) {
		text, err = registers(cpu)
		return err
	})
	if err != nil {
		return 0, false
	}
	n, ok = findRegister(text, name)
	return n, ok
}

// findRegister finds the value of $name in a dump.
func findRegister(dump, name string) (int64, bool) {
	for _, m := range segmentRegister.FindAllStringSubmatch(dump, -1) {
		for i, suffix := range []string{"", ".base", ".limit"} {
			if strings.ToLower(m[1])+suffix == name {
				return hex(m[2+i])
			}
		}
	}
	known := map[string]string{}
	for _, m := range plainRegister.FindAllStringSubmatch(dump, -1) {
		reg := strings.ToLower(m[1])
		// Expressions have the 32-bit names in every mode.
		if len(reg) == 3 && reg[0] == 'r' && (reg[1] < '0' || reg[1] > '9') {
			reg = "e" + reg[1:]
		}
		known[reg] = m[2]
	}
	switch {
	case name == "pc": // as a linear address
		ip, _ := hex(known["eip"])
		base, _ := findRegister(dump, "cs.base")
		return ip + base, true
	case registerNames[name] != "":
		name = registerNames[name]
	case name == "efl":
		return 0, false
	}
	switch name {
	case "eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip", "efl",
		"r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15":
		if text, ok := known[name]; ok {
			return hex(text)
		}
		// Outside 64-bit mode a dump has no r8 to r15, which are 0 there
		// unless the guest has been in 64-bit mode.
		return 0, true
	}
	return 0, false
}

func hex(s string) (int64, bool) {
	n, err := strconv.ParseUint(s, 16, 64)
	return int64(n), err == nil
}
