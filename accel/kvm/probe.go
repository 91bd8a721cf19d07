package kvm

import (
	"context"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/accel"
	"github.com/gqemu/gqemu/memory"
)

// Result is what Probe found out.
type Result struct {
	// Usable tells whether a real guest can run.
	Usable bool
	// Reason says why it cannot, in words; empty if it can.
	Reason string
	// Loop is how long ten million instructions took; 0 if they never
	// ended.
	Loop time.Duration
}

// probeLimit is how long ten million instructions may take. Processors need
// milliseconds, emulated ones a tenth of a second; a KVM that interprets each
// instruction needs several seconds, and a kernel would boot for hours.
const probeLimit = time.Second

const probeInstructions = 10_000_000

// Ports on which the payload says how far it got.
const (
	probeStarted = 0x80 + iota
	probeIRET
	probeCPUID
	probeLooped
)

// probePayload runs in 64-bit mode at probeCode.
var probePayload = []byte{
	0xe6, probeStarted, // out, al
	0x6a, probeData, // push data selector
	0x68, 0x00, 0x70, 0x00, 0x00, // push 0x7000
	0x6a, 0x02, // push flags
	0x6a, probeCS, // push code selector
	0x68, 0x14, 0x80, 0x00, 0x00, // push next
	0x48, 0xcf, // iretq
	0xe6, probeIRET, // next: out, al
	0x31, 0xc0, // xor eax, eax
	0x0f, 0xa2, // cpuid
	0xe6, probeCPUID, // out, al
	0xb9, 0, 0, 0, 0, // mov ecx, half of probeInstructions
	0xff, 0xc9, // again: dec ecx
	0x75, 0xfc, // jnz again
	0xe6, probeLooped, // out, al
	0xeb, 0xfe, // jmp $
}

const (
	probeLoopCount = 29 // offset of mov's operand in probePayload

	probePML4 = 0x1000
	probePDPT = 0x2000
	probePD   = 0x3000
	probeGDT  = 0x7000
	probeCode = 0x8000
	probeCS   = 0x10
	probeData = 0x18
	probeRAM  = 0x10000
)

// prober is the Handler of the payload.
type prober struct {
	ports  chan uint16
	failed chan string
}

func (p *prober) PIO(port uint16, _ []byte, write bool) {
	if write {
		send(p.ports, port)
	}
}

// send never blocks: who sends more than fits is lost already.
func send[T any](c chan T, v T) {
	select {
	case c <- v:
	default:
	}
}

func (p *prober) MMIO(addr uint64, _ []byte, _ bool) {
	send(p.failed, fmt.Sprintf("it reached for memory at 0x%x", addr))
}
func (p *prober) EOI(uint8)    {}
func (p *prober) Shutdown(int) { send(p.failed, "triple fault") }
func (p *prober) Failed(_ int, report string) {
	line, _, _ := strings.Cut(report, "\n")
	send(p.failed, line)
}

// Probe decides whether this machine's /dev/kvm runs a real guest, by running
// an interrupt return, a CPUID and ten million instructions in 64-bit mode. A
// device that opens and creates VMs says little: where it has no hardware
// behind it, instructions are interpreted, and many fail. It takes
// milliseconds where KVM is good and little more than a second where it is
// not. An error is one of Probe's own, ctx ending among them.
func Probe(ctx context.Context) (Result, error) {
	p := &prober{ports: make(chan uint16, 8), failed: make(chan string, 1)}
	vm, err := New(Options{IRQChip: accel.IRQChipSplit, Pins: 24}, p, new(sync.Mutex), zerolog.Nop())
	if err != nil {
		return Result{Reason: err.Error()}, nil
	}
	ram, err := memory.NewAnonRAM("probe", probeRAM)
	if err != nil {
		vm.Close()
		return Result{}, err
	}
	r, err := probe(ctx, vm, ram, p)
	return r, firstError(err, firstError(vm.Close(), ram.Close()))
}

func probe(ctx context.Context, vm *VM, ram *memory.RAM, p *prober) (Result, error) {
	var space memory.Map
	root := memory.NewContainer("memory", memory.MaxSize)
	if err := space.Add(root, memory.NewRAM(ram), 0, 0); err != nil {
		return Result{}, err
	}
	if err := space.NewSpace("memory", root, 0).Listen(vm.Memory()); err != nil {
		return Result{Reason: err.Error()}, nil
	}
	layProbe(ram.Bytes())
	v, err := vm.NewVCPU(accel.CPUConfig{CPUID: vm.SupportedCPUID()})
	if err == nil {
		err = v.SetBoot(accel.BootState{
			Mode: accel.ModeLong64, RIP: probeCode, RSP: probeGDT, CR3: probePML4,
			GDTBase: probeGDT, GDTLimit: 0x1f, CodeSel: probeCS, DataSel: probeData,
		})
	}
	if err != nil {
		return Result{Reason: err.Error()}, nil
	}
	vm.Resume()
	return p.watch(ctx)
}

// watch follows the payload.
func (p *prober) watch(ctx context.Context) (Result, error) {
	limit := time.NewTimer(probeLimit)
	defer limit.Stop()
	var began time.Time
	for _, step := range []struct {
		port uint16
		name string
	}{
		{probeStarted, "the first instruction"},
		{probeIRET, "an interrupt return"},
		{probeCPUID, "CPUID"},
		{probeLooped, "ten million instructions"},
	} {
		limit.Reset(probeLimit)
		select {
		case port := <-p.ports:
			if port != step.port {
				return Result{Reason: fmt.Sprintf("KVM lost its way at %s", step.name)}, nil
			}
		case why := <-p.failed:
			return Result{Reason: fmt.Sprintf("KVM fails at %s: %s", step.name, why)}, nil
		case <-limit.C:
			return Result{Reason: fmt.Sprintf("KVM takes more than %v for %s", probeLimit, step.name)}, nil
		case <-ctx.Done():
			return Result{}, ctx.Err()
		}
		if step.port == probeCPUID {
			began = time.Now()
		}
	}
	return Result{Usable: true, Loop: time.Since(began)}, nil
}

// layProbe puts page tables for the first GiB, a GDT and the payload in RAM.
func layProbe(ram []byte) {
	le := binary.LittleEndian
	le.PutUint64(ram[probePML4:], probePDPT|3)
	le.PutUint64(ram[probePDPT:], probePD|3)
	for i := range 512 {
		le.PutUint64(ram[probePD+8*i:], uint64(i)<<21|0x83)
	}
	le.PutUint64(ram[probeGDT+probeCS:], 0x00af9b000000ffff)
	le.PutUint64(ram[probeGDT+probeData:], 0x00cf93000000ffff)
	copy(ram[probeCode:], probePayload)
	le.PutUint32(ram[probeCode+probeLoopCount:], probeInstructions/2)
}
