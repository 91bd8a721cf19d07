package monitor

import (
	"testing"

	"github.com/gqemu/gqemu/chardev"
	"github.com/gqemu/gqemu/qapi"
)

// A session takes any bytes in any pieces, and then still answers a command;
// what it holds stays bounded.
func FuzzSession(f *testing.F) {
	for _, r := range recordings(f) {
		all := ""
		for _, s := range r.steps {
			all += s.send
		}
		f.Add([]byte(all), uint8(0), false)
		f.Add([]byte(all), uint8(6), true)
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, oob bool) {
		vm := &fakeVM{block: make(chan struct{}), blocked: make(chan struct{}, 100)}
		close(vm.block)
		r := new(qapi.Registry)
		vm.register(r)
		vm.set = NewSet(Config{Registry: r, Exec: vm.exec})
		defer vm.set.Close()
		w := newWire(t)
		if err := vm.set.Add(w, Options{}); err != nil {
			t.Fatal(err)
		}
		w.open()
		if oob {
			w.ask(`{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}`, emptyReply)
		}
		s := vm.set.monitors[0].(*session)
		for len(in) > 0 {
			n := min(len(in), int(piece)+1)
			w.send(string(in[:n]))
			in = in[n:]
			s.mu.Lock()
			if len(s.in.data) > inputLen || len(s.reqs) > queueLen {
				t.Errorf("%d bytes and %d commands wait", len(s.in.data), len(s.reqs))
			}
			s.mu.Unlock()
		}
		w.send("\xff\n" + `{"execute":"nosuch","id":"mark"}`)
		for l := w.line(); len(l) < 14 || l[:14] != `{"id": "mark",`; l = w.line() {
		}
		w.fe.Event(chardev.EventClosed)
	})
}

// BenchmarkCommand is one command and its reply through parser, dispatch and
// encoder, with the goroutines between.
func BenchmarkCommand(b *testing.B) {
	_, set := newVM(b)
	w := connect(b, set)
	b.ReportAllocs()
	for b.Loop() {
		w.send(`{"execute": "query-status", "arguments": {}, "id": "libvirt-42"}` + "\r\n")
		w.line()
	}
}
