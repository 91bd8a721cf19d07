package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/gqemu/gqemu/cli"
	"github.com/gqemu/gqemu/internal/qjson"
	"github.com/gqemu/gqemu/system"
)

// FuzzQMP sends a machine anything a client may send: the VM neither panics nor
// stands still, answers what comes afterwards and ends when it is told to.
func FuzzQMP(f *testing.F) {
	seeds, err := os.ReadFile("testdata/qmp-seeds.txt")
	if err != nil {
		f.Fatal(err)
	}
	for s := range strings.SplitSeq(string(seeds), "\n\n") {
		f.Add([]byte(s), false)
	}
	f.Add([]byte(seeds), true)
	f.Fuzz(func(t *testing.T, in []byte, oob bool) {
		if !harmless(in) {
			t.Skip("reaches out of the VM")
		}
		// What is named by a relative path is made here. Sockets need short
		// names.
		dir, err := os.MkdirTemp("", "fuzz")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		t.Chdir(dir)
		c, ended := startVM(t)
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second)) // sockets have deadlines
		r := bufio.NewReader(c)
		if _, err := r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		enable := ""
		if oob {
			enable = `,"arguments":{"enable":["oob"]}`
		}
		sent := make(chan error, 1)
		go func() {
			_, err := fmt.Fprintf(c, "{'execute':'qmp_capabilities'%s}%s\xff\n{'execute':'query-name','id':'mark'}", enable, in)
			sent <- err
		}()
		for {
			l, err := r.ReadString('\n')
			if err == io.EOF { // there was a quit
				break
			}
			if err != nil {
				t.Fatalf("no answer: %v", err)
			}
			if strings.HasPrefix(l, `{"return": {}, "id": "mark"}`) || strings.Contains(l, `"id": "mark"`) {
				fmt.Fprint(c, "{'execute':'quit'}")
			}
		}
		<-sent
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Fatal("the VM does not end")
		}
	})
}

// startVM runs a small machine and connects to its monitor. ended is closed
// when the machine is gone.
func startVM(t *testing.T) (c net.Conn, ended chan struct{}) {
	argv := "gqemu -M microvm,rtc=on -accel qtest -nodefaults -display none -m 16 -smp 2 -object memory-backend-ram,id=ram1,size=1M" +
		" -chardev ringbuf,id=ring -device isa-serial,chardev=ring -object rng-builtin,id=rng -device virtio-rng-device,rng=rng,id=v" +
		" -qmp unix:q,server=on,wait=off"
	cfg, err := cli.Env{CheckFilename: checkFilename}.Parse(strings.Fields(argv))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	vm, err := system.New(cfg, system.Env{
		Types: newTypes(), Accelerators: accelerators(), Stdout: io.Discard, Stderr: &text, Log: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(text.String())
	}
	ended = make(chan struct{})
	go func() {
		defer close(ended)
		vm.Run()
	}()
	if c, err = net.Dial("unix", "q"); err != nil {
		t.Fatal(err)
	}
	return c, ended
}

var (
	// outside is a path that is neither relative nor one of the machine's
	// objects.
	outside = regexp.MustCompile(`(^|[^a-z0-9])/[^0-9]`)
	inside  = regexp.MustCompile(`/(machine|objects|chardevs)\b`)
	// reaching are words of chardevs that are not of this VM alone, and of what
	// takes all of the host's memory or disk.
	reaching = regexp.MustCompile(`\b(stdio|fd|inet|vsock|udp|tcp|telnet|websocket|pipe|serial|parallel|prealloc)\b|memsave|dump`)
)

// harmless tells whether the messages in a stream touch nothing but the VM.
func harmless(in []byte) bool {
	var p qjson.Parser
	for {
		v, rest, err := p.Next(in)
		if err == qjson.ErrIncomplete {
			return true
		}
		if err == nil && !harmlessValue(v) {
			return false
		}
		in = rest
	}
}

func harmlessValue(v any) bool {
	switch v := v.(type) {
	case string:
		return !outside.MatchString(inside.ReplaceAllString(v, "")) && !strings.Contains(v, "..") && !reaching.MatchString(v)
	case []any:
		for _, e := range v {
			if !harmlessValue(e) {
				return false
			}
		}
	case map[string]any:
		for k, e := range v {
			if !harmlessValue(k) || !harmlessValue(e) {
				return false
			}
		}
	}
	return true
}
