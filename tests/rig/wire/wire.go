// Package wire is the protocol between the rig on the host and its agent in
// L1: frames over one virtio-serial port, in both directions.
//
// A frame is a big-endian u32 length of what follows, a u32 command id, a kind
// byte and the data. The agent speaks first, with Hello.
package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// PortName is the virtio-serial port the agent looks for.
const PortName = "org.gqemu.rig"

// LostGuest is in the line that the agent prints on L1's console before it ends
// L1 because the emulation lost a guest's state.
const LostGuest = "a guest runs at an address of L1's"

// TripleFault is in the lines in which the agent tells of guests' triple
// faults. It looks for them once in TripleFaultPeriod.
const (
	TripleFault       = "a guest's triple fault"
	TripleFaultPeriod = time.Second
)

// AlivePeriod is how often the agent sends Alive.
const AlivePeriod = 5 * time.Second

// MaxData is the largest frame payload in bytes; longer streams are split.
const MaxData = 64 << 10

// Kind says what a frame carries.
type Kind uint8

// The kinds of frames. Host to agent: SetupRequest, Start, Stdin, StdinEOF,
// Signal. Agent to host: Hello, SetupDone, Stdout, Stderr, Exit.
const (
	Hello        Kind = iota + 1 // no data: the agent is up
	SetupRequest                 // JSON Setup
	SetupDone                    // JSON Result
	Start                        // JSON Command; the id names it from now on
	Stdin                        // bytes
	StdinEOF                     // no data
	Signal                       // one byte: the signal for the process group
	Stdout                       // bytes
	Stderr                       // bytes
	Exit                         // JSON Result; the id is free again
	Alive                        // no data, every AlivePeriod
	kindEnd
)

// ErrFrame is wrapped by every error about a malformed frame.
var ErrFrame = errors.New("malformed frame")

// Frame is one message.
type Frame struct {
	ID   uint32
	Kind Kind
	Data []byte
}

// Mount is a 9p share that the agent mounts.
type Mount struct {
	Tag      string
	Path     string
	ReadOnly bool
}

// Setup is what the agent prepares before the first command.
type Setup struct {
	Mounts []Mount
	// Commands are run one after another; the first that fails ends the setup.
	Commands [][]string
}

// Command is a program for the agent to run.
type Command struct {
	Args []string
	Dir  string
	// Env is the whole environment, as NAME=value.
	Env []string
}

// Result is the end of a setup or of a command.
type Result struct {
	// Code is the exit code, 128+N after signal N, 127 when the program could
	// not be started.
	Code int
	// Error is empty unless the agent itself failed.
	Error string
}

// Conn reads and writes frames. Send may be used by several goroutines at
// once, Receive by one.
type Conn struct {
	r *bufio.Reader

	mu sync.Mutex // guards w: frames must not interleave
	w  io.Writer
}

// NewConn returns a Conn over rw.
func NewConn(rw io.ReadWriter) *Conn {
	return &Conn{r: bufio.NewReaderSize(rw, MaxData), w: rw}
}

const headerLen = 4 + 1 // id and kind, counted in the length field

// Send writes one frame, splitting stream data longer than MaxData.
func (c *Conn) Send(f Frame) error {
	for len(f.Data) > MaxData {
		if f.Kind != Stdin && f.Kind != Stdout && f.Kind != Stderr {
			return fmt.Errorf("wire: %w: kind %d with %d bytes", ErrFrame, f.Kind, len(f.Data))
		}
		head := Frame{ID: f.ID, Kind: f.Kind, Data: f.Data[:MaxData]}
		if err := c.Send(head); err != nil {
			return err
		}
		f.Data = f.Data[MaxData:]
	}
	b := make([]byte, 4+headerLen, 4+headerLen+len(f.Data))
	binary.BigEndian.PutUint32(b, uint32(headerLen+len(f.Data)))
	binary.BigEndian.PutUint32(b[4:], f.ID)
	b[8] = byte(f.Kind)
	b = append(b, f.Data...)
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.w.Write(b)
	return err
}

// SendJSON writes a frame whose data is v in JSON.
func (c *Conn) SendJSON(id uint32, k Kind, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.Send(Frame{ID: id, Kind: k, Data: b})
}

// Receive reads one frame. It returns io.EOF only between frames.
func (c *Conn) Receive() (Frame, error) {
	var head [4 + headerLen]byte
	if _, err := io.ReadFull(c.r, head[:]); err != nil {
		return Frame{}, err
	}
	n := binary.BigEndian.Uint32(head[:])
	f := Frame{ID: binary.BigEndian.Uint32(head[4:]), Kind: Kind(head[8])}
	if n < headerLen || n > headerLen+MaxData {
		return Frame{}, fmt.Errorf("wire: %w: length %d", ErrFrame, n)
	}
	if f.Kind == 0 || f.Kind >= kindEnd {
		return Frame{}, fmt.Errorf("wire: %w: kind %d", ErrFrame, f.Kind)
	}
	f.Data = make([]byte, n-headerLen)
	if _, err := io.ReadFull(c.r, f.Data); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	return f, nil
}
