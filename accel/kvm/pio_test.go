package kvm

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/gqemu/gqemu/accel"
)

func TestPortAccessesOfAllSizesReachTheHandler(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	done := make(chan struct{})
	var log []string
	m.h.pio = func(port uint16, data []byte, write bool) {
		if !write {
			for i := range data {
				data[i] = byte(0x11 * (i + 1))
			}
		}
		log = append(log, fmt.Sprintf("%x %x %v", port, data, write))
		if port == 0xf4 {
			close(done)
		}
	}
	m.boot(
		0xb0, 0x5a, // mov al, 0x5a
		0xe6, 0x70, // out 0x70, al
		0xe4, 0x71, // in al, 0x71
		0xe6, 0x72, // out 0x72, al
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xed,       // in ax, dx
		0xef,       // out dx, ax
		0x66, 0xed, // in eax, dx
		0x66, 0xef, // out dx, eax
		0xe6, 0xf4, // out 0xf4, al
		0xeb, 0xfe, // jmp $
	)
	m.vm.Resume()
	receive(t, done, "last write")
	m.pause()
	want := []string{
		"70 5a true", "71 11 false", "72 11 true",
		"3f8 1122 false", "3f8 1122 true",
		"3f8 11223344 false", "3f8 11223344 true",
		"f4 11 true",
	}
	if fmt.Sprint(log) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", log, want)
	}
}

func TestStringPortAccessesComeElementByElement(t *testing.T) {
	m := newMachine(t, accel.IRQChipSplit)
	done := make(chan struct{})
	var out, words []byte
	next := byte('a')
	m.h.pio = func(port uint16, data []byte, write bool) {
		switch {
		case port == 0xf4:
			close(done)
		case write && len(data) == 1:
			out = append(out, data...)
		case write:
			words = append(words, data...)
		default:
			data[0] = next
			next++
		}
	}
	m.boot(
		0xfc,             // cld
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xbe, 0x00, 0x90, // mov si, 0x9000
		0xb9, 0x0c, 0x00, // mov cx, 12
		0xf3, 0x6e, // rep outsb
		0xbe, 0x00, 0x90, // mov si, 0x9000
		0xb9, 0x03, 0x00, // mov cx, 3
		0xf3, 0x6f, // rep outsw
		0xbf, 0x00, 0xa0, // mov di, 0xa000
		0xb9, 0x14, 0x00, // mov cx, 20
		0xf3, 0x6c, // rep insb
		0xe6, 0xf4, // out 0xf4, al
		0xeb, 0xfe, // jmp $
	)
	copy(m.ram.Bytes()[0x9000:], "Hello, world")
	m.vm.Resume()
	receive(t, done, "last write")
	m.pause()
	if string(out) != "Hello, world" {
		t.Errorf("rep outsb: %q", out)
	}
	if string(words) != "Hello," {
		t.Errorf("rep outsw: %q", words)
	}
	if got := m.ram.Bytes()[0xa000 : 0xa000+20]; !bytes.Equal(got, []byte("abcdefghijklmnopqrst")) {
		t.Errorf("rep insb: %q", got)
	}
}

// BenchmarkPIOExit is the cost of one port write: out of the guest, through
// the handler and back.
func BenchmarkPIOExit(b *testing.B) {
	m := newMachine(b, accel.IRQChipSplit)
	n := 0
	done := make(chan struct{})
	m.h.pio = func(uint16, []byte, bool) {
		if n++; n == b.N {
			close(done)
			m.vm.RequestPause()
		}
	}
	m.boot(0xe6, 0x80, 0xeb, 0xfc) // out 0x80, al; jmp back
	b.ResetTimer()
	m.vm.Resume()
	<-done
	b.StopTimer()
	m.vm.WaitPaused()
}
