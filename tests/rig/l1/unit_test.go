package l1

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"
)

func TestSystemRAMIsSummed(t *testing.T) {
	const iomem = "00000000-00000fff : Reserved\n00001000-0009fbff : System RAM\n" +
		"00100000-1fffffff : System RAM\n  01000000-01ffffff : Kernel code\n100000000-13fffffff : System RAM"
	got, err := systemRAM(iomem)
	if want := int64(0x9ec00 + 0x1ff00000 + 0x40000000); err != nil || got != want {
		t.Fatalf("%d, %v; want %d", got, err, want)
	}
	if _, err := systemRAM("zz-10 : System RAM"); err == nil {
		t.Fatal("a broken line was accepted")
	}
}

func TestConsoleKeepsLinesAndEnds(t *testing.T) {
	c := NewConsole()
	r, w := io.Pipe()
	go c.follow(r, nil)
	go func() {
		io.WriteString(w, "one\r\ntw")
		io.WriteString(w, "o\npart")
		w.Close()
	}()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for i, want := range []string{"one", "two"} {
		if l, ok, err := c.next(ctx, i); !ok || err != nil || l.Text != want {
			t.Fatalf("line %d: %q, %v, %v", i, l.Text, ok, err)
		}
	}
	if _, ok, err := c.next(ctx, 2); ok || err != nil {
		t.Fatalf("after the end: %v, %v", ok, err)
	}
	if got := c.Tail(1); got != "two\npart" {
		t.Fatalf("tail %q", got)
	}
	gone, end := context.WithCancelCause(context.Background())
	end(errors.New("over"))
	if _, _, err := NewConsole().next(gone, 0); err == nil || err.Error() != "over" {
		t.Fatalf("cancelled: %v", err)
	}
}

func TestInitLineIsParsed(t *testing.T) {
	info, err := parseInit("cpus=4 up=15.71")
	if err != nil || info.CPUs != 4 || info.Uptime != 15710*time.Millisecond {
		t.Fatalf("%+v, %v", info, err)
	}
	if _, err := parseInit("cpus=x"); err == nil {
		t.Fatal("a broken line was accepted")
	}
}
