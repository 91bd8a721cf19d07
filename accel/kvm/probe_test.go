package kvm

import (
	"context"
	"encoding/binary"
	"errors"
	"testing"
	"time"
)

// The payload's own addresses are right: what it pushes as the return
// address is where the code goes on, and the count is the operand of MOV.
func TestProbePayloadIsSound(t *testing.T) {
	const push = 13 // offset of the push of the return address
	if probePayload[push] != 0x68 {
		t.Fatalf("% x", probePayload)
	}
	next := binary.LittleEndian.Uint32(probePayload[push+1:]) - probeCode
	if probePayload[next] != 0xe6 || probePayload[next+1] != probeIRET || probePayload[next-1] != 0xcf {
		t.Errorf("returns to offset %d", next)
	}
	if probePayload[probeLoopCount-1] != 0xb9 {
		t.Errorf("byte before the count is %#x", probePayload[probeLoopCount-1])
	}
}

func TestProbeAnswersInTimeWithAReason(t *testing.T) {
	start := time.Now()
	r, err := Probe(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v after %v", r, time.Since(start))
	if r.Usable == (r.Reason != "") {
		t.Errorf("usable %v, reason %q", r.Usable, r.Reason)
	}
	if r.Usable && (r.Loop == 0 || r.Loop > probeLimit) {
		t.Errorf("usable, and ten million instructions took %v", r.Loop)
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

func TestProbeEndsWithItsContext(t *testing.T) {
	openable(t)
	p := &prober{ports: make(chan uint16), failed: make(chan string)}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := p.watch(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestProbeTellsWhereItFailed(t *testing.T) {
	p := &prober{ports: make(chan uint16, 8), failed: make(chan string, 1)}
	p.PIO(probeStarted, []byte{0}, true)
	go func() {
		for len(p.ports) > 0 {
			time.Sleep(time.Millisecond)
		}
		p.Failed(0, "KVM internal error. Suberror: 1\nmore\n")
	}()
	r, err := p.watch(context.Background())
	if err != nil || r.Usable || r.Reason != "KVM fails at an interrupt return: KVM internal error. Suberror: 1" {
		t.Errorf("%+v, %v", r, err)
	}
	for _, port := range []uint16{probeStarted, probeIRET, probeCPUID, probeLooped} {
		p.PIO(port, []byte{0}, true)
	}
	if r, err := p.watch(context.Background()); err != nil || !r.Usable || r.Reason != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
