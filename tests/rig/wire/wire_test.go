package wire

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

type pipe struct {
	io.Reader
	io.Writer
}

func TestFramesArriveInOrderAndWhole(t *testing.T) {
	var buf bytes.Buffer
	c := NewConn(pipe{&buf, &buf})
	long := bytes.Repeat([]byte("x"), 2*MaxData+7)
	if err := c.SendJSON(0, SetupRequest, Setup{Mounts: []Mount{{Tag: "t", Path: "/p q", ReadOnly: true}}}); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(Frame{ID: 7, Kind: Stdout, Data: long}); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(Frame{ID: 7, Kind: StdinEOF}); err != nil {
		t.Fatal(err)
	}
	f, err := c.Receive()
	if err != nil || f.Kind != SetupRequest || !bytes.Contains(f.Data, []byte(`"/p q"`)) {
		t.Fatalf("first frame %+v, %v", f, err)
	}
	var got []byte
	for len(got) < len(long) {
		f, err := c.Receive()
		if err != nil || f.ID != 7 || f.Kind != Stdout {
			t.Fatalf("after %d bytes: %+v, %v", len(got), f, err)
		}
		got = append(got, f.Data...)
	}
	if !bytes.Equal(got, long) {
		t.Fatal("the split stream differs")
	}
	if f, err := c.Receive(); err != nil || f.Kind != StdinEOF || len(f.Data) != 0 {
		t.Fatalf("last frame %+v, %v", f, err)
	}
	if _, err := c.Receive(); err != io.EOF {
		t.Fatalf("at the end: %v, want io.EOF", err)
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	for name, in := range map[string]string{
		"length below the header": "\x00\x00\x00\x04\x00\x00\x00\x00\x01",
		"length above the bound":  "\x00\x02\x00\x00\x00\x00\x00\x00\x01",
		"kind zero":               "\x00\x00\x00\x05\x00\x00\x00\x00\x00",
		"kind unknown":            "\x00\x00\x00\x05\x00\x00\x00\x00\xff",
	} {
		if _, err := NewConn(pipe{bytes.NewBufferString(in), io.Discard}).Receive(); !errors.Is(err, ErrFrame) {
			t.Errorf("%s: %v, want ErrFrame", name, err)
		}
	}
	if _, err := NewConn(pipe{bytes.NewBufferString("\x00\x00\x00\x09\x00\x00\x00\x00\x08ab"), io.Discard}).Receive(); err != io.ErrUnexpectedEOF {
		t.Errorf("a cut frame: %v, want io.ErrUnexpectedEOF", err)
	}
	if err := NewConn(pipe{nil, io.Discard}).Send(Frame{Kind: Exit, Data: make([]byte, MaxData+1)}); !errors.Is(err, ErrFrame) {
		t.Errorf("an oversized record: %v, want ErrFrame", err)
	}
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05\x00\x00\x00\x01\x01"))
	f.Add([]byte("\x00\x00\x00\x08\x00\x00\x00\x01\x08abc"))
	f.Fuzz(func(t *testing.T, in []byte) {
		c := NewConn(pipe{bytes.NewReader(in), io.Discard})
		for {
			fr, err := c.Receive()
			if err != nil {
				return
			}
			if len(fr.Data) > MaxData || fr.Kind == 0 || fr.Kind >= kindEnd {
				t.Fatalf("accepted %+v", fr)
			}
		}
	})
}
