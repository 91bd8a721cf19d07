package system

import "github.com/gqemu/gqemu/qapi"

// ChardevBackend says what chardev-add makes: a kind, and its members one
// level down. Of QEMU's kinds these are the ones that exist here.
type ChardevBackend struct {
	Type    chardevBackendKind     `qapi:"type,discriminator"`
	File    *ChardevFileWrapper    `qapi:",case=file"`
	Pipe    *ChardevHostdevWrapper `qapi:",case=pipe"`
	Socket  *ChardevSocketWrapper  `qapi:",case=socket"`
	Pty     *ChardevCommonWrapper  `qapi:",case=pty"`
	Null    *ChardevCommonWrapper  `qapi:",case=null"`
	Mux     *ChardevMuxWrapper     `qapi:",case=mux"`
	Stdio   *ChardevStdioWrapper   `qapi:",case=stdio"`
	VC      *ChardevVCWrapper      `qapi:",case=vc"`
	Ringbuf *ChardevRingbufWrapper `qapi:",case=ringbuf"`
	Memory  *ChardevRingbufWrapper `qapi:",case=memory"`
}

type chardevBackendKind string

func (chardevBackendKind) QAPIName() string { return "ChardevBackendKind" }
func (chardevBackendKind) QAPIEnum() []string {
	return []string{"file", "pipe", "socket", "pty", "null", "mux", "stdio", "vc", "ringbuf", "memory"}
}

// ChardevCommon has the members of every kind.
type ChardevCommon struct {
	Logfile   *string `qapi:"logfile,optional"`
	LogAppend *bool   `qapi:"logappend,optional"`
}

// ChardevFile writes to a file.
type ChardevFile struct {
	ChardevCommon
	In     *string `qapi:"in,optional"`
	Out    string  `qapi:"out"`
	Append *bool   `qapi:"append,optional"`
}

// ChardevHostdev is a pair of FIFOs.
type ChardevHostdev struct {
	ChardevCommon
	Device string `qapi:"device"`
}

// ChardevSocket is a stream socket.
type ChardevSocket struct {
	ChardevCommon
	Addr      SocketAddressLegacy `qapi:"addr"`
	TLSCreds  *string             `qapi:"tls-creds,optional"`
	TLSAuthz  *string             `qapi:"tls-authz,optional"`
	Server    *bool               `qapi:"server,optional"`
	Wait      *bool               `qapi:"wait,optional"`
	Nodelay   *bool               `qapi:"nodelay,optional"`
	Telnet    *bool               `qapi:"telnet,optional"`
	TN3270    *bool               `qapi:"tn3270,optional"`
	Websocket *bool               `qapi:"websocket,optional"`
	Reconnect *int64              `qapi:"reconnect,optional"`
}

// ChardevMux is a multiplexer on another chardev.
type ChardevMux struct {
	ChardevCommon
	Chardev string `qapi:"chardev"`
}

// ChardevStdio is standard input and output.
type ChardevStdio struct {
	ChardevCommon
	Signal *bool `qapi:"signal,optional"`
}

// ChardevVC is a virtual console, with its size in pixels or characters.
type ChardevVC struct {
	ChardevCommon
	Width  *int64 `qapi:"width,optional"`
	Height *int64 `qapi:"height,optional"`
	Cols   *int64 `qapi:"cols,optional"`
	Rows   *int64 `qapi:"rows,optional"`
}

// ChardevRingbuf keeps the last output, size bytes of it.
type ChardevRingbuf struct {
	ChardevCommon
	Size *int64 `qapi:"size,optional"`
}

// ChardevCommonWrapper holds the members of a kind.
type ChardevCommonWrapper struct {
	Data ChardevCommon `qapi:"data"`
}

// ChardevFileWrapper holds the members of a kind.
type ChardevFileWrapper struct {
	Data ChardevFile `qapi:"data"`
}

// ChardevHostdevWrapper holds the members of a kind.
type ChardevHostdevWrapper struct {
	Data ChardevHostdev `qapi:"data"`
}

// ChardevSocketWrapper holds the members of a kind.
type ChardevSocketWrapper struct {
	Data ChardevSocket `qapi:"data"`
}

// ChardevMuxWrapper holds the members of a kind.
type ChardevMuxWrapper struct {
	Data ChardevMux `qapi:"data"`
}

// ChardevStdioWrapper holds the members of a kind.
type ChardevStdioWrapper struct {
	Data ChardevStdio `qapi:"data"`
}

// ChardevVCWrapper holds the members of a kind.
type ChardevVCWrapper struct {
	Data ChardevVC `qapi:"data"`
}

// ChardevRingbufWrapper holds the members of a kind.
type ChardevRingbufWrapper struct {
	Data ChardevRingbuf `qapi:"data"`
}

// ChardevReturn is the result of chardev-add and chardev-change.
type ChardevReturn struct {
	Pty *string `qapi:"pty,optional"`
}

type chardevAddArgs struct {
	ID      string         `qapi:"id"`
	Backend ChardevBackend `qapi:"backend"`
}

type chardevIDArgs struct {
	ID string `qapi:"id"`
}

// ChardevBackendInfo is one entry of query-chardev-backends.
type ChardevBackendInfo struct {
	Name string `qapi:"name"`
}

type dataFormat string

func (dataFormat) QAPIName() string   { return "DataFormat" }
func (dataFormat) QAPIEnum() []string { return []string{"utf8", "base64"} }

type ringbufReadArgs struct {
	Device string      `qapi:"device"`
	Size   int64       `qapi:"size"`
	Format *dataFormat `qapi:"format,optional"`
}

type ringbufWriteArgs struct {
	Device string      `qapi:"device"`
	Data   string      `qapi:"data"`
	Format *dataFormat `qapi:"format,optional"`
}

// YankInstance is something that may hang on a peer, and can be torn from it.
type YankInstance struct {
	Type      yankInstanceType       `qapi:"type,discriminator"`
	BlockNode *YankInstanceBlockNode `qapi:",case=block-node"`
	Chardev   *YankInstanceChardev   `qapi:",case=chardev"`
}

type yankInstanceType string

func (yankInstanceType) QAPIName() string   { return "YankInstanceType" }
func (yankInstanceType) QAPIEnum() []string { return []string{"block-node", "chardev", "migration"} }

// YankInstanceBlockNode names a block node.
type YankInstanceBlockNode struct {
	NodeName string `qapi:"node-name"`
}

// YankInstanceChardev names a chardev.
type YankInstanceChardev struct {
	ID string `qapi:"id"`
}

type yankArgs struct {
	Instances []YankInstance `qapi:"instances"`
}

var errYankNotFound = qapi.ClassErrorf(qapi.DeviceNotFound, "Instance not found")
